// `sluice top`: what a node does at the moment, again each second in a terminal, or once.
import { setTimeout as sleep } from "node:timers/promises";
import { CliError, usageError } from "../cli-error.ts";
import type { Command, CommandContext } from "../command.ts";
import { readScrape } from "../exposition.ts";
import { printable } from "../output.ts";
import { figuresOf, type NodeFigures, type Reading } from "./top-figures.ts";
import { screenLines } from "./top-screen.ts";

const timeoutMs = 5_000;
const bytesMax = 8 * 1024 * 1024;
const intervalMs = 1_000;

// The alternate screen keeps what was there before; frames are drawn over each other, in one write, the cursor hidden.
const enterScreen = "\u001b[?1049h\u001b[?25l";
const leaveScreen = "\u001b[?25h\u001b[?1049l";
const home = "\u001b[H";
const clearLine = "\u001b[K";
const clearBelow = "\u001b[J";

export const topCommand: Command = {
  words: "top",
  arguments: "",
  arity: [0, 0],
  summary: "Shows what a node does at the moment: requests, tokens a second, times, memory.",
  details: [
    "In a terminal it draws the view anew each second until Ctrl-C; elsewhere, with --once or with --json it prints one.",
    "It asks the node itself, by the .sluice/dev.json of a running `npm start`, or by --node (SLUICE_NODE_URL) and the",
    "variable SLUICE_NODE_SECRET.",
  ],
  options: [
    { name: "node", value: "URL", help: "the node's gRPC-Web door (or SLUICE_NODE_URL)" },
    { name: "once", help: "print one view and end" },
  ],
  examples: ["sluice top", "sluice top --once", "sluice top --json --node http://10.0.0.7:50052"],
  async run(context) {
    const source = sourceOf(context);
    const { output, flags } = context;
    if (output.terminal === undefined || flags.once === true) await once(source, context);
    else await live(source, context);
  },
};

interface Source {
  readonly url: string;
  readonly secret: string | undefined;
}

function sourceOf({ node }: CommandContext): Source {
  const { url, secret } = node;
  if (url === undefined) {
    throw new CliError("No node is named: start one with `npm start`, or name one with --node or SLUICE_NODE_URL.", {
      code: "no_node",
    });
  }
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !["http:", "https:"].includes(parsed.protocol)) {
    throw usageError(`"${printable(url)}" is no http or https URL.`);
  }
  return { url: parsed.origin, secret };
}

async function once(source: Source, context: CommandContext): Promise<void> {
  const { output, signal } = context;
  const before = await read(source, context);
  await sleep(intervalMs, undefined, { signal }).catch(() => undefined);
  const figures = figuresOf(await read(source, context), before, true);
  if (output.json) return output.value({ node: source.url, ...figures });
  for (const line of render(figures, source, "since the node's start", output.terminal?.columns ?? 80, context)) {
    output.line(line);
  }
}

/** Draws until Ctrl-C. A node that goes away is waited for: it may be the restart that one wants to see. */
async function live(source: Source, context: CommandContext): Promise<void> {
  const { output, signal } = context;
  let before = await read(source, context);
  output.raw(enterScreen);
  try {
    let lines = render(figuresOf(before, undefined, false), source, "of the last second", columns(context), context);
    draw(lines, context);
    while (!signal.aborted) {
      await sleep(intervalMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) break;
      try {
        const after = await read(source, context);
        lines = render(figuresOf(after, before, false), source, "of the last second", columns(context), context);
        before = after;
        draw(lines, context);
      } catch (error) {
        if (signal.aborted || !(error instanceof CliError)) break;
        draw([...lines.slice(0, -1), error.message.slice(0, columns(context))], context);
      }
    }
  } finally {
    output.raw(leaveScreen);
  }
}

function columns({ output }: CommandContext): number {
  return output.terminal?.columns ?? 80;
}

function render(
  figures: NodeFigures,
  { url }: Source,
  span: string,
  width: number,
  { output }: CommandContext,
): string[] {
  const strong = (text: string): string => output.style("bold", text);
  const faint = (text: string): string => output.style("dim", text);
  return screenLines(figures, { url, span, columns: width, strong, faint });
}

/** One write a frame: nothing is wiped before its new content is there. */
function draw(lines: readonly string[], { output }: CommandContext): void {
  const rows = output.terminal?.rows ?? 24;
  const shown = lines.slice(0, Math.max(1, rows - 1));
  output.raw(`${home}${shown.map((line) => `${line}${clearLine}`).join("\r\n")}\r\n${clearBelow}`);
}

async function read({ url, secret }: Source, { now, signal }: CommandContext): Promise<Reading> {
  const headers: Record<string, string> = secret === undefined ? {} : { authorization: `Bearer ${secret}` };
  const response = await ask(url, headers, signal);
  if (response.status === 401) {
    throw new CliError(
      `The node at ${url} wants its secret: set SLUICE_NODE_SECRET to what the node was started with.`,
      { code: "no_secret", status: 401 },
    );
  }
  const text = await response.text().catch(() => "");
  if (!response.ok || !text.includes("sluice_") || text.length > bytesMax) {
    throw new CliError(`What answers at ${url} is no Sluice node: HTTP ${response.status}.`, {
      code: "bad_answer",
      status: response.status,
    });
  }
  return { scrape: readScrape(text), atMs: now() };
}

async function ask(url: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
  try {
    const either = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    return await fetch(`${url}/metrics`, { headers, redirect: "manual", signal: either });
  } catch (cause) {
    if (signal.aborted) throw new CliError("Stopped.", { code: "canceled", cause });
    throw new CliError(`No node answers at ${url}: start one with \`npm start\`, or name another with --node.`, {
      code: "no_node",
      cause,
    });
  }
}
