// A bare clone in a temporary folder: our launcher, a small lock file, and an npm that does what a test says.
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const cli = dirname(dirname(fileURLToPath(import.meta.url)));
const LAUNCHER = ["bootstrap.mjs", "guard.mjs", "install.mjs", "lock.mjs"];

const LOCK = {
  packages: {
    "": { name: "sluice" },
    "node_modules/a": { version: "1.0.0", integrity: "sha512-a" },
    "node_modules/only-elsewhere": { version: "1.0.0", integrity: "sha512-b", optional: true, os: ["plan9"] },
  },
};

/** Installs as npm does: empties node_modules, fills it, and leaves its own record at the end. */
const WORKING_NPM = `
  const fs = require("fs");
  fs.appendFileSync("npm-calls", process.argv.slice(2).join(" ") + "\\n");
  setTimeout(() => {
    fs.rmSync("node_modules", { recursive: true, force: true });
    fs.mkdirSync("node_modules/a", { recursive: true });
    const { packages } = JSON.parse(fs.readFileSync("package-lock.json", "utf8"));
    const present = { "node_modules/a": packages["node_modules/a"] };
    fs.writeFileSync("node_modules/.package-lock.json", JSON.stringify({ packages: present }));
  }, 300);`;

export interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export class BareClone {
  readonly root = mkdtempSync(join(tmpdir(), "sluice-clone-"));

  constructor() {
    mkdirSync(join(this.root, "cli", "start"), { recursive: true });
    for (const name of LAUNCHER) cpSync(join(cli, name), join(this.root, "cli", name));
    writeFileSync(join(this.root, "package.json"), '{"type":"module"}');
    this.writeLock(LOCK);
    this.writeNpm(WORKING_NPM);
    this.writeProgram("console.log(JSON.stringify(process.argv.slice(2)));");
  }

  writeLock(lock: object): void {
    writeFileSync(join(this.root, "package-lock.json"), JSON.stringify(lock));
  }

  /** Replaces what `npm ci` does; `script` is CommonJS and runs in the clone. */
  writeNpm(script: string): void {
    mkdirSync(join(this.root, "npm"), { recursive: true });
    writeFileSync(join(this.root, "npm", "package.json"), '{"type":"commonjs"}');
    writeFileSync(join(this.root, "npm", "npm-cli.js"), script);
  }

  /** Replaces the program that `npm start` comes down to. */
  writeProgram(script: string): void {
    writeFileSync(join(this.root, "cli", "start", "main.ts"), script);
  }

  /** How often `npm ci` was called so far. */
  npmCalls(): string[] {
    const path = join(this.root, "npm-calls");
    return existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
  }

  /** Runs `npm start -- args` as npm would, with `env` added to its environment. */
  start(args: string[] = [], env: Record<string, string> = {}): { child: ChildProcess; outcome: Promise<Outcome> } {
    const npm = { npm_execpath: join(this.root, "npm", "npm-cli.js") };
    const child = spawn(process.execPath, [join(this.root, "cli", "bootstrap.mjs"), "start", ...args], {
      cwd: this.root,
      env: { ...npm, PATH: "/usr/bin:/bin", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const text = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8").on("data", (chunk: string) => {
        text[name] += chunk;
      });
    }
    const outcome = new Promise<Outcome>((resolve) => {
      child.once("close", (code, signal) => resolve({ code, signal, ...text }));
    });
    return { child, outcome };
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
