// Puts a `python3` on a PATH of its own that behaves like pip, or fails like it.
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface FakePython {
  /** The environment whose PATH finds it. */
  readonly environment: Readonly<Record<string, string>>;
  /** The arguments of each call so far, one line a call. */
  calls(): Promise<readonly string[]>;
}

/** `script` is shell; $dest is pip's --dest folder. */
export async function fakePython(dir: string, script: string): Promise<FakePython> {
  const bin = join(dir, "bin");
  const log = join(dir, "python-calls.log");
  await mkdir(bin, { recursive: true });
  const program = join(bin, "python3");
  await writeFile(
    program,
    `#!/bin/sh
echo "$@" >> "${log}"
dest=.
while [ $# -gt 0 ]; do
  if [ "$1" = --dest ]; then dest=$2; fi
  shift
done
${script}
`,
  );
  await chmod(program, 0o755);
  return {
    environment: { PATH: `${bin}:/usr/bin:/bin` },
    calls: async () => (await readFile(log, "utf8").catch(() => "")).split("\n").filter((line) => line !== ""),
  };
}

/** A pip that finds this wheel. */
export async function pythonWithWheel(dir: string, wheel: Buffer, before = ""): Promise<FakePython> {
  const path = join(dir, "fake_model-1.0-py3-none-any.whl");
  await writeFile(path, wheel);
  return fakePython(dir, `${before}\ncp "${path}" "$dest/"`);
}

/** A pip that says this on stderr and fails. */
export async function failingPython(dir: string, stderr: string, code = 1): Promise<FakePython> {
  const message = join(dir, "pip-stderr.txt");
  await writeFile(message, stderr);
  return fakePython(dir, `cat "${message}" >&2\nexit ${code}`);
}
