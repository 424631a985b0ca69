// What a client-facing wire format must do: read a request, and write a generation as a stream and as one body.
import type { GenerateEvent, GenerateRequest } from "../../proto/gen/sluice/inference/v1/generate_pb.js";
import type { ApiError } from "../errors.ts";

/** What the edge knows of a request besides its body. */
export interface CallContext {
  /** The edge's id of the request. */
  requestId: string;
  /** Unix milliseconds. */
  now: number;
  /** Prefixes are shared within a project and never with another. */
  projectId: string;
  /** Whose share of a node it is. */
  tenant: string;
}

/** Writes the events of one stream. Stateful: one a stream. */
export interface StreamWriter {
  /** The text of one event; empty when the dialect has nothing to say of it. */
  event(event: GenerateEvent): string;
  /** The one event that tells of a failure after the first byte. */
  failure(error: ApiError): string;
}

/** Folds the same events into one JSON body. */
export interface BodyWriter {
  event(event: GenerateEvent): void;
  /** The whole body, once Finished has come. */
  body(): string;
  /** The body of a failure after the head was sent. */
  failure(error: ApiError): string;
}

/** A request that one dialect has read. */
export interface DialectCall {
  request: GenerateRequest;
  stream: boolean;
  /** Names of parameters that no API has; they were accepted and did nothing. */
  ignored: readonly string[];
  /** The client's name for a field of the contract. */
  paramOf(contractPath: string): string | undefined;
  streamWriter(): StreamWriter;
  bodyWriter(): BodyWriter;
}
