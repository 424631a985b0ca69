// Makes random JSON Schemas of the subset, deep and contradictory ones among them.

type Schema = Record<string, unknown> | boolean;

/** A schema with definitions that its parts may refer to, also in circles. */
export function randomSchema(random: () => number): Schema {
  const maker = new SchemaMaker(random);
  const defs = Object.fromEntries(["a", "b", "c"].map((name) => [name, maker.schema(1)]));
  const root = maker.schema(0);
  return typeof root === "boolean" ? { allOf: [root], $defs: defs } : { ...root, $defs: defs };
}

class SchemaMaker {
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  schema(depth: number): Schema {
    const leaf = depth >= 3;
    const roll = this.#random();
    if (roll < 0.03) return this.#random() < 0.8;
    if (roll < 0.12) return { $ref: `#/$defs/${this.#pick(["a", "b", "c"])}` };
    if (roll < 0.2 && !leaf) return { anyOf: this.#list(depth, 1, 3) };
    if (roll < 0.27 && !leaf) return { allOf: this.#list(depth, 1, 2), ...this.#typed(depth) };
    if (roll < 0.35) return { enum: Array.from({ length: 1 + this.#below(4) }, () => this.#value()) };
    return this.#typed(depth);
  }

  #typed(depth: number): Record<string, unknown> {
    const kinds = [
      "string",
      "integer",
      "number",
      "boolean",
      "null",
      ...(depth < 3 ? ["array", "object", "object"] : []),
    ];
    const type = this.#pick(kinds);
    const some = {
      ...this.#keywords(type, depth),
      type: type !== "null" && this.#random() < 0.1 ? [type, "null"] : type,
    };
    return this.#random() < 0.1 ? { ...some, title: "t", description: "d" } : some;
  }

  #keywords(type: string, depth: number): Record<string, unknown> {
    switch (type) {
      case "string":
        return this.#some({
          minLength: this.#below(4),
          maxLength: 2 + this.#below(30),
          pattern: this.#pick(["^[a-z]+$", "\\d", "^.{2,5}$", "a|b", "^(?:x|yz)*$", "^[^\\n]*é"]),
          format: this.#pick(["date", "uuid", "email", "ipv4", "time"]),
        });
      case "integer":
        return this.#some({ minimum: -this.#below(500), maximum: this.#below(5000), multipleOf: 1 + this.#below(12) });
      case "number":
        return this.#some({ exclusiveMinimum: this.#fraction(), maximum: 3 + this.#fraction() });
      case "array":
        return {
          ...this.#some({ minItems: this.#below(3), maxItems: 1 + this.#below(4) }),
          ...(this.#random() < 0.3 ? { prefixItems: this.#list(depth, 1, 2) } : {}),
          ...(this.#random() < 0.8 ? { items: this.schema(depth + 1) } : {}),
        };
      case "object":
        return this.#object(depth);
      default:
        return {};
    }
  }

  #object(depth: number): Record<string, unknown> {
    const names = ["a", "b c", 'd"', "é", "n1"].filter(() => this.#random() < 0.5);
    const properties = Object.fromEntries(names.map((name) => [name, this.schema(depth + 1)]));
    return {
      ...(names.length > 0 ? { properties } : {}),
      ...(this.#random() < 0.7 ? { required: names.filter(() => this.#random() < 0.5) } : {}),
      ...(this.#random() < 0.5 ? { additionalProperties: this.#random() < 0.7 ? false : this.schema(depth + 1) } : {}),
    };
  }

  #value(): unknown {
    return this.#pick<unknown>([null, true, 0, -3, 2.5, "", "x", 'q"\\', "é\n", [], [1, "a"], {}, { k: [null] }]);
  }

  #list(depth: number, min: number, more: number): Schema[] {
    return Array.from({ length: min + this.#below(more) }, () => this.schema(depth + 1));
  }

  /** Some of the keywords. */
  #some(keywords: Record<string, unknown>): Record<string, unknown> {
    return Object.fromEntries(Object.entries(keywords).filter(() => this.#random() < 0.35));
  }

  #fraction(): number {
    return (this.#below(400) - 200) / 100;
  }

  #pick<T>(values: readonly T[]): T {
    return values[this.#below(values.length)] as T;
  }

  #below(count: number): number {
    return Math.floor(this.#random() * count);
  }
}
