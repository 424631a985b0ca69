// Finds the model's file for the decode loop, by asking the node's own model source.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { BenchError } from "./target.ts";

const resolver = new URL("../inference-node/model-source/main.ts", import.meta.url);

/**
 * The path of a model: a .gguf file, a catalogue id or an hf: URI; undefined is what a node serves when none is named.
 * Downloads what is not there yet, telling of it on stderr. `program` is for tests.
 */
export async function modelPathOf(
  reference: string | undefined,
  signal: AbortSignal,
  program: URL = resolver,
): Promise<string> {
  const args = [
    ...process.execArgv,
    fileURLToPath(program),
    "resolve",
    ...(reference === undefined ? [] : [reference]),
  ];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], signal });
  let output = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text: string) => {
    output = (output + text).slice(-65_536);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("close", resolve);
    child.on("error", (error) => reject(signal.aborted ? signal.reason : error));
  });
  const path = output.trim().split("\n").at(-1) ?? "";
  if (code !== 0 || path === "") {
    throw new BenchError(
      `the loop has no model: ${reference ?? "the default one"} was not found; name a file with loop:FILE.gguf`,
    );
  }
  return path;
}
