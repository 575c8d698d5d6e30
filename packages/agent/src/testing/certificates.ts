/** A throw-away authority for tests, by openssl(1): the same shape as a site's own, ECDSA P-256, dNSNames only. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const openssl = (args: string[]) => promisify(execFile)('openssl', args);
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export class TestAuthority {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** @param directory where its files go; each authority needs one of its own */
  static async create(directory: string): Promise<TestAuthority> {
    const authority = new TestAuthority(directory);
    const { cert, key } = authority.#files('ca');
    await openssl(['req', '-x509', ...newKey, '-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=test authority']);
    return authority;
  }

  /** @param dnsName the only name that the certificate carries */
  async issue(dnsName: string): Promise<CertificateFiles> {
    const { cert, key, ca } = this.#files(dnsName);
    const authority = this.#files('ca');
    const extensions = join(this.#directory, `${dnsName}.ext`);
    const request = join(this.#directory, `${dnsName}.csr`);
    await writeFile(extensions, `subjectAltName=DNS:${dnsName}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    await openssl(['req', ...newKey, '-keyout', key, '-out', request, '-subj', '/CN=test']);
    const signed = ['-CA', authority.cert, '-CAkey', authority.key, '-CAcreateserial', '-days', '1', '-extfile', extensions];
    await openssl(['x509', '-req', '-in', request, '-out', cert, ...signed]);
    return { cert, key, ca };
  }

  #files(name: string): CertificateFiles {
    const path = (suffix: string) => join(this.#directory, `${name}.${suffix}`);
    return { cert: path('crt'), key: path('key'), ca: join(this.#directory, 'ca.crt') };
  }
}
