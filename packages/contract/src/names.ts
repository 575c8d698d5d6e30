/** Identifiers and units that every schema shares. Times are milliseconds, sizes bytes unless a name says MiB. */
import { Type } from 'typebox';

/** A VM's or host's name: a DNS label, so that it is safe in file names, interface names and URLs. */
export const Name = Type.String({
  pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$',
  description: 'A DNS label: lower-case letters, digits and hyphens, at most 63',
});

/** RFC 9562 UUID in its lower-case text form. */
export const Uuid = Type.String({
  pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$',
  description: 'UUID, RFC 9562, lower case',
});

/** Milliseconds since 1970-01-01T00:00:00Z. */
export const Timestamp = Type.Integer({ minimum: 0, description: 'Milliseconds since the epoch, UTC' });

/** A duration in milliseconds; fractions are measured ones. */
export const Milliseconds = Type.Number({ minimum: 0, description: 'Milliseconds' });

export const Bytes = Type.Integer({ minimum: 0, description: 'Bytes' });

/** SHA-256 of a certificate's SubjectPublicKeyInfo, lower-case hexadecimal. */
export const KeyHash = Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256 of the SubjectPublicKeyInfo, hexadecimal' });

/** `host:port`; IPv6 addresses stand in brackets. */
export const Endpoint = Type.String({ pattern: '^(\\[[0-9a-fA-F:]+\\]|[^:\\s]+):[0-9]{1,5}$', description: 'address:port' });

/** Encodes exactly `bytes` bytes in unpadded base64url, RFC 4648 §5. */
export const base64url = (bytes: number) => {
  const length = Math.ceil((bytes * 8) / 6);
  return Type.String({ pattern: `^[A-Za-z0-9_-]{${length}}$`, description: `${bytes} bytes, base64url without padding` });
};
