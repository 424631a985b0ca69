// The google.rpc details that go with every error of the node.
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ErrorInfo,
  ErrorInfoSchema,
  type RetryInfo,
  RetryInfoSchema,
} from "../../proto/gen/google/rpc/error_details_pb.js";
import { Code, type NodeError } from "../node-error.ts";

/** Who names the reasons in ErrorInfo. */
const errorDomain = "sluice.dev";
const defaultRetryMs = 1_000;

export interface ErrorDetails {
  info: ErrorInfo;
  /** Always there for RESOURCE_EXHAUSTED and UNAVAILABLE. */
  retry: RetryInfo | undefined;
}

/** Why a call failed and when to try again. */
export function errorDetails(error: NodeError): ErrorDetails {
  const metadata = error.param === undefined ? error.metadata : { ...error.metadata, param: error.param };
  const info = create(ErrorInfoSchema, { reason: error.reason, domain: errorDomain, metadata });
  const retryable = error.code === Code.RESOURCE_EXHAUSTED || error.code === Code.UNAVAILABLE;
  const retryMs = error.retryAfterMs ?? (retryable ? defaultRetryMs : undefined);
  if (retryMs === undefined) return { info, retry: undefined };
  return { info, retry: create(RetryInfoSchema, { retryDelay: durationFromMs(Math.max(0, Math.round(retryMs))) }) };
}
