// What a server says of a refusal: beside gRPC's status, messages of google.rpc.

import grpc from '@grpc/grpc-js';
import { getProtoPath } from 'google-proto-files';
import { dirname, join } from 'node:path';
import protobuf from 'protobufjs';

const root = new protobuf.Root();
root.resolvePath = (_, target) => join(dirname(getProtoPath()), target);
root.loadSync(['google/rpc/status.proto', 'google/rpc/error_details.proto']);
const Status = root.lookupType('google.rpc.Status');

/**
 * Make one error of all that came with a failed call.
 *
 * `code` stays gRPC's. `reason` is a stable word of Graftscope's, such as INVALID_INPUT, that
 * programs can rely on; `field` is the request's field that is to blame, and `retryAfterSeconds`
 * when the same call may succeed, where the server said so.
 *
 * @param {Error} error of the call
 * @param {boolean} inClear whether the call was made without TLS
 */
export function explained(error, inClear) {
  if (!(error instanceof Error) || error.metadata === undefined) return error; // not of a call
  const told = details(error.metadata);
  // A server that speaks TLS closes the connection of whoever does not, without a word.
  const isClosed = error.code === grpc.status.UNAVAILABLE && /connect/i.test(error.details);
  const hint = inClear && isClosed ? ' (a server that speaks TLS needs --ca FILE)' : '';
  const made = new Error(error.details + hint, { cause: error });
  made.code = error.code;
  made.status = grpc.status[error.code];
  made.reason = told['google.rpc.ErrorInfo']?.reason;
  made.field = told['google.rpc.BadRequest']?.fieldViolations[0]?.field;
  const delay = told['google.rpc.RetryInfo']?.retryDelay;
  made.retryAfterSeconds = delay && Number(delay.seconds) + delay.nanos / 1e9;
  return made;
}

/** One line for people. */
export function line(error) {
  const facts = [error.status, error.reason, error.field && `field ${error.field}`];
  if (error.retryAfterSeconds) facts.push(`try again in ${error.retryAfterSeconds} s`);
  const told = facts.filter(Boolean).join(', ');
  return told ? `${error.message} (${told})` : error.message;
}

function details(metadata) {
  const found = {};
  for (const bytes of metadata.get('grpc-status-details-bin')) {
    for (const { type_url: url, value } of Status.decode(bytes).details) {
      const name = url.split('/').pop();
      // A detail of a later version is left out: the message says it too.
      const type = root.nested.google.nested.rpc.get(name.replace('google.rpc.', ''));
      if (type) {
        found[name] = type.toObject(type.decode(value), { longs: Number, defaults: true });
      }
    }
  }
  return found;
}
