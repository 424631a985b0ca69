// Reads what a test can hold a Markdown text to: its code blocks, its inline code, its links.

export interface CodeBlock {
  /** What follows the fence; empty for a picture or plain output. */
  language: string;
  code: string;
  /** Line of the opening fence, counted from 1. */
  line: number;
}

/** The fenced blocks, in order. Throws when a fence is never closed. */
export function codeBlocks(markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let open: { language: string; line: number; lines: string[] } | undefined;
  for (const [index, text] of markdown.split("\n").entries()) {
    const fence = /^\s*```\s*(\S*)/.exec(text);
    if (fence === null) open?.lines.push(text);
    else if (open === undefined) open = { language: fence[1] ?? "", line: index + 1, lines: [] };
    else {
      blocks.push({ language: open.language, line: open.line, code: open.lines.join("\n") });
      open = undefined;
    }
  }
  if (open !== undefined) throw new Error(`The block that opens on line ${open.line} is never closed.`);
  return blocks;
}

function withoutBlocks(markdown: string): string {
  return markdown.replaceAll(/^\s*```[\s\S]*?^\s*```.*$/gm, "");
}

/** The texts in backticks outside of blocks. */
export function inlineCode(markdown: string): string[] {
  return [...withoutBlocks(markdown).matchAll(/`([^`]+)`/g)].map((match) => (match[1] ?? "").replaceAll("\n", " "));
}

/** The targets of links outside of blocks. */
export function links(markdown: string): string[] {
  return [...withoutBlocks(markdown).matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? "");
}
