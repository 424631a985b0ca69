// What the document tests see of a text is what a reader sees of it.
import { expect, test } from "vitest";
import { codeBlocks, inlineCode, links } from "./markdown.ts";

const text = [
  "# Title",
  "See [one](a.md#part) and `npm start`, or `two",
  "lines`.",
  "```bash",
  "echo `date` # [no link](b.md)",
  "",
  "echo 2",
  "```",
  "```",
  "a picture",
  "```",
].join("\n");

test("blocks come in order, with language, code and the line of their fence", () => {
  expect(codeBlocks(text)).toEqual([
    { language: "bash", line: 4, code: "echo `date` # [no link](b.md)\n\necho 2" },
    { language: "", line: 9, code: "a picture" },
  ]);
});

test("a fence that is never closed is an error, for all after it would go unseen", () => {
  expect(() => codeBlocks("# Title\n```js\n1")).toThrow("line 2 is never closed");
});

test("inline code and links are those outside of blocks", () => {
  expect(inlineCode(text)).toEqual(["npm start", "two lines"]);
  expect(links(text)).toEqual(["a.md#part"]);
});
