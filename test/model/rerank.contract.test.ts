// The shared rerank contract, asked of the native runtime with both ways of putting query and document together.
import { afterAll, beforeAll } from "vitest";
import { rerankContract } from "../../inference-node/runtimes/rerank-contract.ts";
import {
  knownHead,
  type ModelFolder,
  modelFolder,
  RERANKER,
  rerankerChanges,
  rerankerRuntime,
} from "../support/reranker-model.ts";

let folder: ModelFolder;
beforeAll(async () => {
  folder = await modelFolder();
});
afterAll(() => folder.remove());

const changes = rerankerChanges(knownHead());
const template = "[CLS]\nJudge.\nQuery: {query}\nDocument: {document}[SEP]";

rerankContract("llama, BERT", () => rerankerRuntime(folder.write("plain", changes)), { model: RERANKER });

rerankContract(
  "llama, by the file's template",
  () => {
    const metadata = {
      ...changes.metadata,
      "tokenizer.chat_template.rerank": { type: "string", value: template },
    } as const;
    return rerankerRuntime(folder.write("template", { ...changes, metadata }));
  },
  { model: RERANKER },
);
