// A NodeError as a gRPC status with its details in grpc-status-details-bin.
import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Metadata, type ServiceError } from "@grpc/grpc-js";
import { ErrorInfoSchema, RetryInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../proto/gen/google/rpc/status_pb.js";
import type { NodeError } from "../node-error.ts";
import { errorDetails } from "./error-details.ts";
import { asBuffer } from "./grpc-definition.ts";

/** What grpc-js takes as a call's failure (https://google.aip.dev/193 for the details). */
export function grpcError(error: NodeError): ServiceError {
  const { info, retry } = errorDetails(error);
  const details = [anyPack(ErrorInfoSchema, info)];
  if (retry) details.push(anyPack(RetryInfoSchema, retry));
  const { code, message } = error;
  const metadata = new Metadata();
  const status = create(StatusSchema, { code, message, details });
  metadata.set("grpc-status-details-bin", asBuffer(toBinary(StatusSchema, status)));
  return Object.assign(new Error(message), { code, details: message, metadata });
}
