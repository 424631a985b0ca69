// docs/cli.md knows every command and option that there is.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { COMMON_OPTIONS } from "./command.ts";
import { COMMANDS } from "./run.ts";

const text = readFileSync(new URL("../docs/cli.md", import.meta.url), "utf8");

test.each(COMMANDS.map((command) => [command.words, command] as const))(
  "docs/cli.md tells of sluice %s",
  (words, command) => {
    expect(text).toContain(`\`${`sluice ${words} ${command.arguments}`.trimEnd()}\``);
    for (const { name } of command.options) expect(text).toContain(`--${name}`);
  },
);

test("docs/cli.md tells of every common option but --help by its variable or use", () => {
  for (const { name } of COMMON_OPTIONS) expect(text).toContain(`--${name}`);
});

test("docs/cli.md has no command that is not there", () => {
  const known = new Set([...COMMANDS.map((command) => command.words), "start"]);
  const named = [...text.matchAll(/^\| `sluice ([a-z]+(?: [a-z]+)?)/gm)].map((match) => match[1] ?? "");
  expect(named.filter((words) => !known.has(words))).toEqual([]);
  expect(named.length).toBe(known.size);
});
