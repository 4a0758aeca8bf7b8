// Does what each line of its input asks for with one of the generated clients, and answers with a line each.
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";

import createClient from "openapi-fetch";

import { client as heyApi } from "./hey-api/client.gen";
import * as sdk from "./hey-api/sdk.gen";
import type { paths } from "./openapi-typescript";

interface Call {
  client: "hey-api" | "openapi-fetch";
  operationId: string;
  method: string;
  template: string;
  path: Record<string, string>;
  query: Record<string, unknown>;
  headers: Record<string, string>;
  json: unknown;
  text?: string | null;
  file: string | null;
}

interface Answered {
  response?: Response;
  error?: unknown;
}

const baseUrl = process.argv[2] ?? "";
let latest: Response | undefined;
heyApi.setConfig({ baseUrl, fetch: async (...request) => (latest = await fetch(...request)) });
const openapiFetch = createClient<paths>({ baseUrl });

function bodyOf(call: Call): unknown {
  if (call.file === null) return call.json ?? call.text ?? undefined;
  return { file: new Blob([Buffer.from(call.file, "base64")], { type: "image/png" }) };
}

function toForm(body: unknown): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(body as Record<string, Blob>)) form.append(name, value);
  return form;
}

// A stream has no response to look at: the request is sent when its first event is asked for.
async function opened(stream: AsyncGenerator, end: () => void): Promise<Answered> {
  latest = undefined;
  void stream.next().catch(() => undefined);
  while (latest === undefined) await setTimeout(10);
  end();
  return { response: latest };
}

// Operations are chosen by name here; uses.ts calls some of them with their types.
async function send(call: Call): Promise<Answered> {
  const { path, query, headers } = call;
  const body = bodyOf(call);
  // Lines of JSON are text already; the clients would encode it as one JSON string.
  const asText = call.text ? { bodySerializer: String } : {};
  if (call.client === "hey-api") {
    const operations = sdk as unknown as Record<string, (options: unknown) => Promise<Answered & { stream?: AsyncGenerator }>>;
    const abort = new AbortController();
    const answered = await operations[call.operationId]!({ path, query, headers, body, signal: abort.signal, ...asText });
    return answered.stream ? opened(answered.stream, () => abort.abort()) : answered;
  }
  const client = openapiFetch as unknown as {
    request(method: string, template: string, options: unknown): Promise<Answered>;
  };
  const serializer = call.file === null ? asText : { bodySerializer: toForm };
  const options = { params: { path, query }, headers, body, parseAs: "text", ...serializer };
  return client.request(call.method.toLowerCase(), call.template, options);
}

async function main(): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const { response, error } = await send(JSON.parse(line) as Call);
    console.log(JSON.stringify({ status: response?.status ?? 0, error: error === undefined ? null : JSON.stringify(error) }));
  }
}

void main();
