// Asks the engine itself whether a text is in a grammar, without a model.
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

interface Bindings {
  AddonGrammar: new (
    gbnf: string,
    options: { addonExports: object; rootRuleName: string },
  ) => { isTextCompatible(text: string): boolean };
}

/** Whether a text is in a grammar as a whole. Throws when the engine does not take the grammar. */
export type GrammarJudge = (gbnf: string, text: string) => boolean;

export async function engineJudge(): Promise<GrammarJudge> {
  const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error });
  const { _bindings: bindings } = llama as unknown as { _bindings: Bindings };
  return (gbnf, text) =>
    new bindings.AddonGrammar(gbnf, { addonExports: bindings, rootRuleName: "root" }).isTextCompatible(text);
}
