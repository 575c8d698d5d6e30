import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { errorCodes } from './errors.ts';
import { openApiOf } from './openapi.ts';
import { publicApi } from './public-api.ts';
import type { Route } from './route.ts';

type Operation = {
  operationId: string;
  parameters?: { name: string; in: string; required?: boolean }[];
  requestBody?: { content: Record<string, { schema: object }> };
  responses: Record<string, { description?: string; content?: Record<string, { schema: object; 'x-data'?: object }>; $ref?: string }>;
};

// What JSON makes of it is what anyone gets.
const document = JSON.parse(JSON.stringify(openApiOf('1.2.3')));
const operations = new Map<string, { path: string; method: string; operation: Operation }>();
for (const [path, methods] of Object.entries<Record<string, Operation>>(document.paths)) {
  for (const [method, operation] of Object.entries(methods)) operations.set(operation.operationId, { path, method, operation });
}
const namesIn = (schema: object | undefined): string[] =>
  schema && 'properties' in schema ? Object.keys(schema.properties as object) : []; // an object's

describe('the OpenAPI document', () => {
  it('is valid OpenAPI 3.1, and every reference leads somewhere', async () => {
    const validator = new Validator();
    const result = await validator.validate(structuredClone(document));
    assert.deepEqual(result.errors ?? [], []);
    assert.equal(validator.version, '3.1');
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/(\w+)\/(\w+)"/g)];
    assert.ok(references.length > 100);
    for (const [reference, kind = '', name = ''] of references) assert.ok(document.components[kind][name], reference);
    assert.equal(JSON.stringify(document).match(/"\$ref":/g)?.length, references.length);
    assert.doesNotMatch(JSON.stringify(document), /"\$id"|"~/);
  });

  it('has every route of the public API with every parameter, body and answer, and nothing else', () => {
    assert.deepEqual([...operations.keys()].sort(), [...Object.keys(publicApi), 'metrics', 'openApi'].sort());
    for (const [name, route] of Object.entries<Route>(publicApi)) {
      const { path, method, operation } = operations.get(name) ?? assert.fail(name);
      assert.equal(`${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`, `${route.method} ${route.path}`);
      const expected = [
        ...namesIn(route.params).map((each) => `path ${each}`),
        ...namesIn(route.query).map((each) => `query ${each}`),
        ...(route.resumable ? ['header Last-Event-ID'] : []),
      ];
      const parameters = operation.parameters ?? [];
      assert.deepEqual(
        parameters.map((each) => `${each.in} ${each.name}`),
        expected,
        name,
      );
      assert.ok(
        parameters.every((each) => (each.in === 'path') === (each.required === true)),
        name,
      );
      assert.equal(operation.requestBody !== undefined, route.body !== undefined, name);
      const [status, type] =
        route.stream === 'socket' ? [101] : [route.status, route.stream === 'events' ? 'text/event-stream' : 'application/json'];
      const answer = operation.responses[status] ?? assert.fail(name);
      assert.deepEqual(Object.keys(answer.content ?? {}), type ? [type] : [], name);
      for (const each of new Set(Object.values(errorCodes).map((code) => code.status))) {
        assert.equal(operation.responses[each]?.$ref, `#/components/responses/Error${each}`, name);
      }
    }
    for (const code of Object.keys(errorCodes)) {
      const described = JSON.stringify(document.components.responses).includes(`\`${code}\``);
      assert.equal(described, code !== 'manager_unreachable', code);
    }
  });

  it('refers to schemas by name, in streams and optional fields as well', () => {
    const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
    const { schemas } = document.components;
    const order = operations.get('migrateVm')?.operation;
    assert.deepEqual(order?.requestBody?.content['application/json']?.schema, ref('MigrationOrder'));
    assert.deepEqual(order?.responses['202']?.content?.['application/json']?.schema, ref('Migration'));
    assert.deepEqual(operations.get('watchEvents')?.operation.responses['200']?.content?.['text/event-stream']?.['x-data'], ref('Event'));
    assert.deepEqual(operations.get('listVms')?.operation.responses['200']?.content?.['application/json']?.schema, {
      type: 'array',
      items: ref('Vm'),
    });
    assert.deepEqual(schemas.Host.properties.report, ref('HostReport'));
    assert.deepEqual(schemas.Migration.properties.suite, ref('Suite'));
    assert.deepEqual(schemas.Suite, { type: 'string', enum: ['aes-256-gcm', 'none'] });
  });

  it('does not demand what has a default, and promises it in answers', () => {
    const { schemas } = document.components;
    const [name, memory] = ['name', 'memoryMiB'];
    assert.deepEqual(schemas.VmDefinitionInput.required, [name, memory]);
    for (const each of [name, memory, 'vcpus', 'machine']) assert.ok(schemas.VmDefinition.required.includes(each), each);
    assert.equal(schemas.VmDefinitionInput.properties.vcpus.default, 1);
    assert.equal(schemas.Vm.properties.definition.$ref, '#/components/schemas/VmDefinition');
  });
});
