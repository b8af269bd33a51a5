// How a program reaches a server: the contract, TLS, a token, and calls that return promises.

import { isIP } from 'node:net';
import { dirname, join } from 'node:path';
import { checkServerIdentity } from 'node:tls';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import { getProtoPath } from 'google-proto-files';

import { explained } from './errors.js';

const HERE = dirname(fileURLToPath(import.meta.url));

// The contract lies in this repository; an installed server has the same files beside the module
// `graftscope.v1` of Python. What they import from Google comes from google-proto-files.
const OURS = join(HERE, '..', '..', 'proto');
const GOOGLES = dirname(getProtoPath());

const contract = grpc.loadPackageDefinition(
  protoLoader.loadSync(
    [
      'graftscope/v1/analysis_service.proto',
      'graftscope/v1/artifact_service.proto',
      'graftscope/v1/model_service.proto',
      'google/longrunning/operations.proto',
    ],
    {
      includeDirs: [OURS, GOOGLES],
      enums: String,
      longs: Number, // sizes in bytes: far below 2^53
      defaults: true,
      oneofs: true, // which member is set, under the oneof's name
      json: true, // the messages inside google.protobuf.Any come decoded
    },
  ),
);

// Services that are called without TLS.
const inClear = new WeakSet();

/**
 * Open a channel to a server. Nothing is sent before the first call.
 *
 * @param {string} address HOST:PORT
 * @param {Buffer} [authority] the certificate of the authority that signed the server's, in PEM;
 *   turns on TLS
 * @param {string} [token] who you are, where the server asks; sent through TLS only
 */
export function connect(address, authority, token) {
  let credentials = grpc.credentials.createInsecure();
  let options = {};
  if (authority) {
    const host = address.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
    const verify = {};
    if (isIP(host)) {
      // In TLS a server is asked for by a name, and never by an IP address: a name stands in, and
      // the certificate is still checked for the address.
      options = { 'grpc.ssl_target_name_override': 'graftscope' };
      verify.checkServerIdentity = (_, certificate) => checkServerIdentity(host, certificate);
    }
    credentials = grpc.credentials.createSsl(authority, null, null, verify);
  }
  if (token) {
    if (!authority) {
      throw new Error('a token is not sent in the clear: name the authority with --ca');
    }
    const bearer = grpc.credentials.createFromMetadataGenerator((_, done) => {
      const metadata = new grpc.Metadata();
      metadata.set('authorization', `Bearer ${token}`);
      done(null, metadata);
    });
    credentials = grpc.credentials.combineChannelCredentials(credentials, bearer);
  }
  const { graftscope, google } = contract;
  const server = {
    models: new graftscope.v1.ModelService(address, credentials, options),
    analyses: new graftscope.v1.AnalysisService(address, credentials, options),
    artifacts: new graftscope.v1.ArtifactService(address, credentials, options),
    operations: new google.longrunning.Operations(address, credentials, options),
  };
  if (!authority) Object.values(server).forEach((service) => inClear.add(service));
  return server;
}

/** Close what `connect` opened. */
export function disconnect(server) {
  for (const service of Object.values(server)) service.close();
}

/** Make a call of one request and one reply; gives the reply. */
export function call(service, method, request, seconds = 60) {
  const deadline = Date.now() + 1000 * seconds;
  return new Promise((resolve, reject) => {
    service[method](request, { deadline }, (error, reply) =>
      error ? reject(explained(error, inClear.has(service))) : resolve(reply),
    );
  });
}

/** Make a call of one request and many replies; gives each as it comes. */
export async function* stream(service, method, request) {
  const replies = service[method](request);
  try {
    yield* replies;
  } catch (error) {
    throw explained(error, inClear.has(service));
  } finally {
    replies.cancel(); // also where whoever reads has seen enough
  }
}
