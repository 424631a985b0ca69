// The documents name only what there is: files, links, settings, scripts.
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { codeBlocks, inlineCode, links } from "./support/markdown.ts";
import { root } from "./support/stack.ts";

const documents = ["README.md", "AGENTS.md", ...globSync("docs/*.md", { cwd: root })];
// Records tell of their day: the files that they name may have moved since, their links may not be dead.
const records = globSync("docs/decisions/*.md", { cwd: root });
const sources = globSync("{edge,inference-node,cli,bench,examples}/**/*.{ts,mjs,sh,py}", {
  cwd: root,
  exclude: (name) => name.includes(".test."),
});

const read = (path: string): string => readFileSync(join(root, path), "utf8");
const code = [...sources, "wrangler.toml"].map(read).join("\n");
const settingsIn = (text: string): Set<string> => new Set(text.match(/\bSLUICE_[A-Z0-9_]*[A-Z0-9]\b/g));

/** Code in backticks that looks like a file or folder of the tree; a placeholder such as `<name>` makes it none. */
function pathsIn(markdown: string): string[] {
  const top = /^(\.ci|bench|cli|docs|edge|examples|inference-node|proto|test)\/[\w./-]*$/;
  return inlineCode(markdown).filter((text) => top.test(text));
}

describe.each([...documents, ...records])("%s", (document) => {
  const text = read(document);

  test("links only to files that exist", () => {
    const targets = links(text).filter((target) => !/^https?:/.test(target));
    const missing = targets.filter((target) => !existsSync(join(root, dirname(document), target.split("#")[0] ?? "")));
    expect(missing).toEqual([]);
  });

  test("has one title and leaves no level of heading out", () => {
    const levels = [...text.replaceAll(/^```[\s\S]*?^```/gm, "").matchAll(/^(#+) /gm)].map(
      (match) => match[1]?.length ?? 0,
    );
    expect(levels.filter((level) => level === 1)).toHaveLength(1);
    expect(levels.filter((level, index) => level > (levels[index - 1] ?? 0) + 1)).toEqual([]);
  });
});

describe.each(documents)("%s, kept true,", (document) => {
  const text = read(document);

  test("names only files and folders that exist, but for those that it says are not there yet", () => {
    const present = text.split(/^## What is not there yet$/m)[0] ?? "";
    expect(pathsIn(present).filter((path) => !existsSync(join(root, path)) && !path.startsWith("bench/out/"))).toEqual(
      [],
    );
  });

  test("names only settings that the code reads", () => {
    const known = settingsIn(code);
    expect([...settingsIn(text)].filter((name) => !known.has(name))).toEqual([]);
  });

  test("names only npm scripts that exist", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const prose = [...inlineCode(text), ...codeBlocks(text).map((block) => block.code)].join("\n");
    const named = [...prose.matchAll(/\bnpm run ([\w:-]+)/g)].map((match) => match[1] ?? "");
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});

test("docs/node.md tells of every variable that the node reads", () => {
  const told = settingsIn(read("docs/node.md"));
  expect([...settingsIn(read("inference-node/config.ts"))].filter((name) => !told.has(name))).toEqual([]);
});

test("docs/decisions has a date and a subject in every name, and no record longer than a page", () => {
  for (const record of records) {
    expect(record).toMatch(/\/\d{4}-\d{2}-\d{2}-[a-z0-9-]+\.md$/);
    expect(read(record).split("\n").length, record).toBeLessThanOrEqual(30);
  }
});
