// Mistyped commands and options: what was meant, and exit code 2.
import { expect, test } from "vitest";
import { nearest } from "./nearest.ts";
import { sluice } from "./testing/fake-world.ts";

test.each([
  [["kyes"], 'There is no command "kyes" (did you mean keys?): see sluice --help.'],
  [["model", "list"], 'There is no command "model" (did you mean models?)'],
  [["frobnicate"], 'There is no command "frobnicate": see sluice --help.'],
  [["help", "kyes"], 'There is no command "kyes" (did you mean keys?)'],
  [["keys"], "sluice keys needs one of create, list, revoke."],
  [["keys", "--json"], "sluice keys needs one of create, list, revoke."],
  [["keys", "lst"], 'There is no command "keys lst" (did you mean keys list?): see sluice keys --help.'],
  [["keys", "delete", "--help"], 'There is no command "keys delete": see sluice keys --help.'],
  [["models", "remove", "x"], 'There is no command "models remove": see sluice models --help.'],
  [["keys", "list", "--jsn"], "There is no option --jsn (did you mean --json?): see sluice keys list --help."],
  [["keys", "list", "--expires", "1d"], "There is no option --expires: see sluice keys list --help."],
  [["keys", "list", "-x"], "There is no option -x: see sluice keys list --help."],
  [["--verbose", "keys", "list"], 'A command comes before its options, and "--verbose" is none: see sluice --help.'],
])("%j is told what was meant", async (args, message) => {
  const { code, stdout, stderr } = await sluice(args);
  expect(code).toBe(2);
  if (args.includes("--json")) expect(JSON.parse(stdout).error).toMatchObject({ code: "usage", message });
  else expect(stderr).toContain(`error: ${message}`);
});

test("only what is near is suggested", () => {
  expect(nearest("rvoke", ["create", "list", "revoke"])).toBe("revoke");
  expect(nearest("rev", ["create", "list", "revoke"])).toBe("revoke");
  expect(nearest("x", ["rm"])).toBeUndefined();
  expect(nearest("", ["rm"])).toBeUndefined();
  expect(nearest("completely-different", ["create", "list"])).toBeUndefined();
});
