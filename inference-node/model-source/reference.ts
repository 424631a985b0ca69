// Says what a model reference means: a catalogue id, a file on the hub, or a path.
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { CatalogueEntry, HubSource } from "./catalogue.ts";
import { ModelError } from "./model-error.ts";

export type Reference =
  | { readonly kind: "catalogue"; readonly entry: CatalogueEntry }
  | { readonly kind: "hub"; readonly source: HubSource }
  | { readonly kind: "path"; readonly path: string };

const HUB = /^hf:(?:\/\/)?/i;
const HUB_FILE = /^([^/@]+)\/([^/@]+)\/(.+?\.gguf)(?:@(.+))?$/i;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const REVISION = /^[A-Za-z0-9][A-Za-z0-9._/-]*$/;
/** Longer references are refused unread. */
const REFERENCE_LENGTH_MAX = 4096;

/** Parses `hf:org/repo/path/file.gguf[@revision]`, a path, or a catalogue id. Throws `invalid_reference` or `unknown_model`. */
export function parseReference(reference: string, catalogue: readonly CatalogueEntry[]): Reference {
  const text = reference.trim();
  if (text === "" || text.length > REFERENCE_LENGTH_MAX || text.includes("\0")) {
    throw new ModelError("invalid_reference", "no model is named", `name ${waysToName(catalogue)}`);
  }
  if (HUB.test(text)) return { kind: "hub", source: parseHub(text) };
  const entry = catalogue.find((candidate) => candidate.id === text.toLowerCase());
  if (entry !== undefined) return { kind: "catalogue", entry };
  const path = asPath(text);
  if (path !== undefined) return { kind: "path", path };
  throw unknownModel(text, catalogue);
}

/** The reference that names a file on the hub again. */
export function formatHub(source: HubSource): string {
  const revision = source.revision === "main" ? "" : `@${source.revision}`;
  return `hf:${source.organization}/${source.repository}/${source.path}${revision}`;
}

function parseHub(text: string): HubSource {
  const match = HUB_FILE.exec(text.replace(HUB, ""));
  const [, organization = "", repository = "", path = "", revision = "main"] = match ?? [];
  const segments = path.split("/");
  const safe =
    NAME.test(organization) &&
    NAME.test(repository) &&
    REVISION.test(revision) &&
    [...segments, ...revision.split("/")].every(
      (part) => part !== "" && part !== "." && part !== ".." && !part.includes("\\"),
    );
  if (match !== null && safe) return { kind: "hub", organization, repository, path, revision };
  throw new ModelError(
    "invalid_reference",
    `${text} does not name a file on the hub`,
    "write hf:ORGANIZATION/REPOSITORY/FILE.gguf, with @REVISION after it for a certain revision",
  );
}

/** A path is what looks like one: it has a slash, begins with ~ or a drive, is a file: URL, or ends in .gguf. */
function asPath(text: string): string | undefined {
  if (text.startsWith("file:")) {
    try {
      return fileURLToPath(text);
    } catch (error) {
      throw new ModelError(
        "invalid_reference",
        `${text} is no file URL of this machine`,
        "give the path itself",
        error,
      );
    }
  }
  if (text === "~" || text.startsWith("~/")) return join(homedir(), text.slice(1));
  if (/[/\\]/.test(text) || /\.gguf$/i.test(text) || text === "." || text === "..") return resolve(text);
  return undefined;
}

function unknownModel(text: string, catalogue: readonly CatalogueEntry[]): ModelError {
  const near = nearest(
    text.toLowerCase(),
    catalogue.map((entry) => entry.id),
  );
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return new ModelError(
    "unknown_model",
    `no model is called "${shown}"${near === undefined ? "" : ` (did you mean ${near}?)`}`,
    `name ${waysToName(catalogue)}`,
  );
}

function waysToName(catalogue: readonly CatalogueEntry[]): string {
  const ids = catalogue.map((entry) => entry.id).join(", ");
  return `${ids === "" ? "" : `a model of the catalogue (${ids}), `}hf:ORGANIZATION/REPOSITORY/FILE.gguf, or the path of a .gguf file`;
}

/** The candidate that `text` is most likely meant to be; undefined when none is near. */
export function nearest(text: string, candidates: readonly string[]): string | undefined {
  let best: { readonly candidate: string; readonly distance: number } | undefined;
  for (const candidate of candidates) {
    const distance = distanceTo(candidate, text.slice(0, 64));
    if (distance <= text.length / 3 && distance < (best?.distance ?? Number.POSITIVE_INFINITY)) {
      best = { candidate, distance };
    }
  }
  return best?.candidate;
}

/** Of the whole name or of as much of its beginning, whichever is nearer: people shorten names. */
function distanceTo(candidate: string, text: string): number {
  if (text.length >= 3 && candidate.includes(text)) return 0;
  return Math.min(editDistance(text, candidate), editDistance(text, candidate.slice(0, text.length)));
}

/** Levenshtein distance, one row at a time. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
