// The key material of both doors.

/** Server certificate and key, and the authority whose client certificates are asked for, all in PEM. */
export interface TlsMaterial {
  cert: Buffer;
  key: Buffer;
  /** When given, a peer without a certificate signed by it is refused in the handshake. */
  clientCa: Buffer | undefined;
}
