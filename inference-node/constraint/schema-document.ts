// A whole JSON Schema: finds what its references mean, and takes its combinators apart into plain alternatives.
import type { Work } from "./automaton.ts";
import { refused, unsupported } from "./constraint-error.ts";
import {
  constrains,
  isRecord,
  keyPath,
  listOf,
  type Part,
  requireKnownKeywords,
  schemaAt,
  textOfKeyword,
} from "./schema-part.ts";

const alternativesMax = 256;
const combinedDepthMax = 64;

/** Parts that hold together, none of which refers or combines any more. */
export type Alternative = readonly Part[];

export class SchemaDocument {
  readonly root: Part | boolean;
  readonly #path: string;
  readonly #work: Work;
  readonly #ids = new Map<object, number>();
  readonly #known = new Set<object>();

  /** `path` is the request's field that the schema stands in; taking combinators apart is charged to `work`. */
  constructor(schema: unknown, path: string, work: Work) {
    this.#path = path;
    this.#work = work;
    this.root = schemaAt(schema, path);
  }

  /** Names a part, wherever it was come from. */
  id({ schema }: Part): number {
    const id = this.#ids.get(schema) ?? this.#ids.size;
    this.#ids.set(schema, id);
    return id;
  }

  /** Follows references that stand alone; false when nothing is allowed, true when anything is. */
  resolved(part: Part | boolean): Part | boolean {
    let at = part;
    for (const seen = new Set<object>(); typeof at !== "boolean"; ) {
      this.#check(at);
      if (at.schema.$ref === undefined || constrains(at, ["$ref"])) return at;
      if (seen.has(at.schema)) throw refused(`${at.path}.$ref`, "refers to itself.");
      seen.add(at.schema);
      at = this.#target(at);
    }
    return at;
  }

  /** The parts of which one must hold when nothing but `anyOf` or `oneOf` is said; undefined otherwise. */
  pureChoice(part: Part): (Part | boolean)[] | undefined {
    const keyword = ["anyOf", "oneOf"].find((name) => part.schema[name] !== undefined);
    if (keyword === undefined || constrains(part, [keyword])) return undefined;
    return this.#members(part, keyword);
  }

  /** Every way in which the part may hold; none for what allows nothing. */
  alternatives(part: Part | boolean, open: ReadonlySet<object> = new Set()): Alternative[] {
    if (typeof part === "boolean") return part ? [[]] : [];
    this.#check(part);
    // References that meet again and again make an exponential tree of a small schema.
    this.#work.spend(10);
    if (open.has(part.schema)) throw refused(part.path, "refers to itself with nothing in between.");
    if (open.size >= combinedDepthMax) throw refused(part.path, `combines more than ${combinedDepthMax} levels deep.`);
    const inside = new Set([...open, part.schema]);
    let found: Alternative[] = [[part]];
    if (part.schema.$ref !== undefined) {
      found = this.#combined(part, found, this.alternatives(this.#target(part), inside));
    }
    for (const member of this.#members(part, "allOf")) {
      found = this.#combined(part, found, this.alternatives(member, inside));
    }
    for (const keyword of ["anyOf", "oneOf"]) {
      if (part.schema[keyword] === undefined) continue;
      const options = this.#members(part, keyword).flatMap((member) => this.alternatives(member, inside));
      found = this.#combined(part, found, options);
    }
    return found;
  }

  /** Every one of the left with every one of the right; what both say is said once. */
  #combined(part: Part, left: readonly Alternative[], right: readonly Alternative[]): Alternative[] {
    if (left.length * right.length > alternativesMax) {
      throw refused(part.path, `combines to more than ${alternativesMax} alternatives.`);
    }
    return left.flatMap((a) =>
      right.map((b) => {
        this.#work.spend(a.length + b.length);
        const said = new Set(a.map(({ schema }) => schema));
        return [...a, ...b.filter(({ schema }) => !said.has(schema))];
      }),
    );
  }

  #check(part: Part): void {
    if (this.#known.has(part.schema)) return;
    requireKnownKeywords(part);
    const id = textOfKeyword(part, "$id");
    // A nested $id changes what references mean.
    if (id !== undefined && typeof this.root !== "boolean" && part.schema !== this.root.schema) {
      throw unsupported(`${part.path}.$id`, "is understood at the root of the schema only.");
    }
    this.#known.add(part.schema);
  }

  #members(part: Part, keyword: string): (Part | boolean)[] {
    const list = listOf(part, keyword);
    if (list === undefined) return [];
    const path = keyPath(part.path, keyword);
    if (list.length === 0) throw refused(path, "must have at least one schema.");
    if (list.length > alternativesMax) throw refused(path, `must have at most ${alternativesMax} schemas.`);
    return list.map((member, index) => schemaAt(member, `${path}[${index}]`));
  }

  #target(part: Part): Part | boolean {
    const path = `${part.path}.$ref`;
    const reference = textOfKeyword(part, "$ref") ?? "";
    if (reference !== "#" && !reference.startsWith("#/")) {
      throw unsupported(path, "must begin with #/: only references within the schema are followed.");
    }
    let at: unknown = typeof this.root === "boolean" ? this.root : this.root.schema;
    let targetPath = this.#path;
    for (const step of pointerSteps(reference)) {
      const found = Array.isArray(at)
        ? at[Number(step)]
        : isRecord(at) && Object.hasOwn(at, step)
          ? at[step]
          : undefined;
      if (found === undefined) throw refused(path, "refers to nothing in the schema.");
      targetPath = Array.isArray(at) ? `${targetPath}[${step}]` : keyPath(targetPath, step);
      at = found;
    }
    return schemaAt(at, targetPath);
  }
}

/** RFC 6901, as a URI fragment. */
function pointerSteps(reference: string): string[] {
  if (reference === "#") return [];
  return reference
    .slice(2)
    .split("/")
    .map((step) => safelyDecoded(step).replaceAll("~1", "/").replaceAll("~0", "~"));
}

function safelyDecoded(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}
