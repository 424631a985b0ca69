// Every command and program in README.md and every file of examples/, run as a reader would run them.
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readOptions } from "../../bench/options.ts";
import { parseOptions } from "../../cli/start/options.ts";
import { CATALOGUE } from "../../inference-node/model-source/catalogue.ts";
import { parseReference } from "../../inference-node/model-source/reference.ts";
import { type Checkout, makeCheckout } from "../support/checkout.ts";
import { type CodeBlock, codeBlocks, inlineCode } from "../support/markdown.ts";
import { ensurePython } from "../support/python.ts";
import { root, type Stack, startStack } from "../support/stack.ts";

const run = promisify(execFile);
const BLOCK_TIMEOUT_MS = 60_000;

const readme = readFileSync(join(root, "README.md"), "utf8");
const blocks = codeBlocks(readme);

/** What the output of a block must show: the first entry whose `code` is in the block. */
const CLAIMS: readonly { code: string; output: RegExp }[] = [
  { code: "keys create", output: /sk-sluice-[\w-]{43}\n[\s\S]*laptop[\s\S]*Revoked key_/ },
  { code: "models pull", output: /smollm2-135m-instruct.*\.gguf|\.gguf[\s\S]*smollm2-135m-instruct .*cached/i },
  { code: '"scripted"', output: /"content":"one "[\s\S]*"content":"two "[\s\S]*data: \{"error":(?![\s\S]*\[DONE\])/ },
  { code: '"stream": true', output: /"role":"assistant"[\s\S]*Paris[\s\S]*data: \[DONE\]/ },
  { code: "capital of France", output: /Paris/ },
];

/**
 * Commands that are not run here: they start what this test already runs in, or run for minutes. Each is held to what it
 * promises elsewhere, and here to its being understood.
 */
const COVERED: readonly { command: RegExp; by: readonly string[]; check: (args: string[]) => void }[] = [
  { command: /^npm start\b/, by: ["test/e2e/start.test.ts", "test/e2e/start.processes.test.ts"], check: checkStart },
  { command: /^npm test$/, by: ["test/run.ts"], check: () => undefined },
  { command: /^npx sluice top$/, by: ["cli/commands/top.test.ts"], check: () => undefined },
  { command: /^npm run bench\b/, by: ["test/e2e/bench-loop.test.ts", "bench/main.error.test.ts"], check: checkBench },
];

function checkStart(args: string[]): void {
  const env = { port: undefined, runtime: undefined, model: undefined, swallowed: [], underNpm: true, inherited: {} };
  const options = parseOptions(args, env, root);
  if (options?.model !== undefined) parseReference(options.model, CATALOGUE);
}

function checkBench(args: string[]): void {
  const node = { node: "127.0.0.1:50051", nodeWeb: "http://127.0.0.1:50052", nodeSecret: "-", nodePid: undefined };
  const running = { url: "http://127.0.0.1:8787", key: "sk-sluice-", ...node };
  readOptions(args, { environment: {}, cores: 2, now: 0, running });
}

const withoutVariables = (line: string): string => line.replace(/^([A-Z_]+=\S+ )+/, "");
const isCovered = (line: string): boolean => COVERED.some(({ command }) => command.test(withoutVariables(line)));

/** Throws when a command that is covered elsewhere would not be understood. */
function checkCovered(line: string): void {
  const command = withoutVariables(line);
  const [, args = ""] = command.split(/ -- (.*)/);
  const entry = COVERED.find((candidate) => candidate.command.test(command));
  entry?.check(args.split(" ").filter((arg) => arg !== ""));
}

const commandsOf = ({ code }: CodeBlock): string[] => code.split("\n").filter((line) => line !== "");
const picture = ({ language, code }: CodeBlock): boolean => language === "" && code.startsWith(" client ──HTTPS");
const covered = (block: CodeBlock): boolean => block.language === "bash" && commandsOf(block).every(isCovered);
const exportsOnly = (block: CodeBlock): boolean => commandsOf(block).every((line) => line.startsWith("export "));
const runnable = blocks.filter((block) => !picture(block) && !covered(block));
const setup = runnable.filter(exportsOnly);
const programs = runnable.filter((block) => !exportsOnly(block));

/** The reader: a clone in which `npm start` runs, and the environment that the README's own `export` lines make. */
class Reader {
  readonly stack: Stack;
  readonly #checkout: Checkout;
  readonly #python: string;
  #env: Record<string, string | undefined>;

  private constructor(stack: Stack, checkout: Checkout, python: string) {
    this.stack = stack;
    this.#checkout = checkout;
    this.#python = python;
    const own = Object.entries(process.env).filter(([name]) => !/^(SLUICE_|OPENAI_|npm_|VITEST|NODE_)/.test(name));
    const path = [dirname(python), dirname(process.execPath), process.env.PATH].join(delimiter);
    this.#env = { ...Object.fromEntries(own), PATH: path };
  }

  static async start(runtime: "llama" | "scripted"): Promise<Reader> {
    const python = await ensurePython();
    const checkout = makeCheckout();
    const stack = await startStack({ runtime, port: 0, stateDir: checkout.stateDir });
    const reader = new Reader(stack, checkout, python);
    for (const block of setup) await reader.adopt(block);
    return reader;
  }

  /** Runs `export` lines and keeps what they set. */
  async adopt({ code }: CodeBlock): Promise<void> {
    const output = await this.#run("bash", ["-euo", "pipefail", "-c", `${code}\nenv -0`]);
    const pairs = output.split("\0").map((line) => line.split(/=([\s\S]*)/));
    for (const [name = "", value] of pairs) if (name.startsWith("SLUICE_")) this.#env[name] = value;
  }

  get exported(): Record<string, string | undefined> {
    return Object.fromEntries(Object.entries(this.#env).filter(([name]) => name.startsWith("SLUICE_")));
  }

  /** Resolves to what the block prints on stdout; rejects when it fails. */
  async read({ language, code }: CodeBlock): Promise<string> {
    if (language === "bash") return this.#run("bash", ["-euo", "pipefail", "-c", code]);
    if (language === "python") return this.#run(this.#python, ["-c", code]);
    const file = join(this.#checkout.dir, "readme-block.mjs");
    writeFileSync(file, code);
    return this.#run(process.execPath, [file]);
  }

  async example(name: string): Promise<string> {
    const path = join("examples", name);
    if (name.endsWith(".sh")) return this.#run("bash", [path]);
    return name.endsWith(".py") ? this.#run(this.#python, [path]) : this.#run(process.execPath, [path]);
  }

  async stop(): Promise<void> {
    await this.stack.stop();
    this.#checkout.remove();
  }

  async #run(program: string, args: string[]): Promise<string> {
    const options = { cwd: this.#checkout.dir, env: this.#env, timeout: BLOCK_TIMEOUT_MS };
    return (await run(program, args, options)).stdout;
  }
}

const named = (list: CodeBlock[]): [string, CodeBlock][] =>
  list.map((block) => [`line ${block.line}: ${commandsOf(block)[0]}`, block]);
const isScripted = ({ code }: CodeBlock): boolean => code.includes('"scripted"');

describe("README.md", () => {
  test("has no code that this test cannot run, and says of each block what it must print", () => {
    expect(blocks.filter(picture)).toHaveLength(1);
    for (const { language, line, code } of runnable) {
      expect(["bash", "js", "python"], `language of the block on line ${line}`).toContain(language);
      const mixed = code.split("\n").filter((text) => /^\s*(sudo )?npm (start|test|run|ci|install)\b/.test(text));
      expect(mixed, `line ${line} mixes what is run here with what is not`).toEqual([]);
    }
    for (const { code, line } of programs) {
      expect(
        CLAIMS.some((claim) => code.includes(claim.code)),
        `an entry of CLAIMS for the block on line ${line}`,
      ).toBe(true);
    }
  });

  test("names only commands that are understood, also where they are not run here", () => {
    const commands = inlineCode(readme).filter((text) => /^([A-Z_]+=\S+ )*(npm|npx|sluice|curl|pip|node) /.test(text));
    expect(commands).toContain("npm start");
    expect(commands.filter((command) => !isCovered(command))).toEqual([]);
    expect(COVERED.flatMap(({ by }) => by).filter((file) => !existsSync(join(root, file)))).toEqual([]);
    for (const command of [...commands, ...blocks.filter(covered).flatMap(commandsOf)]) {
      expect(() => checkCovered(command), command).not.toThrow();
    }
  });
});

describe.each(["llama", "scripted"] as const)("the README beside npm start with the %s runtime", (runtime) => {
  let reader: Reader;

  beforeAll(async () => {
    reader = await Reader.start(runtime);
  });

  afterAll(() => reader?.stop());

  test("its export lines find the address and the key of the running stack", () => {
    const { url, apiKey } = reader.stack;
    expect(reader.exported).toEqual({ SLUICE_URL: url, SLUICE_API_KEY: apiKey });
  });

  test.each(named(programs.filter((block) => isScripted(block) === (runtime === "scripted"))))(
    "%s",
    async (_, block) => {
      const claim = CLAIMS.find(({ code }) => block.code.includes(code));
      expect(textOf(await reader.read(block))).toMatch(claim?.output ?? /^$/);
    },
  );

  if (runtime === "scripted") return;

  test.each(readdirSync(join(root, "examples")))("examples/%s", async (name) => {
    const output = textOf(await reader.example(name));
    expect(output).toContain("Paris");
    expect(output).toMatch(name.endsWith(".sh") ? /"usage":\{"prompt_tokens":\d+/ : /\d+ tokens in, \d+ out/);
    if (!name.endsWith(".sh")) expect(output).toMatch(/^404 model_not_found, request req_\w{26}$/m);
  });
});

/** The output, and after it the text of a streamed answer in one piece: its tokens come in events of their own. */
function textOf(output: string): string {
  const deltas = [...output.matchAll(/"content":"((?:[^"\\]|\\.)*)"/g)].map((match) => match[1]);
  return deltas.length === 0 ? output : output.replace(/data: \[DONE\]|$/, (end) => `${deltas.join("")}\n${end}`);
}
