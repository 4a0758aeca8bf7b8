// Compiled, never run: what the generated types let a program write, and what they keep it from.
import createClient from "openapi-fetch";

import * as sdk from "./hey-api/sdk.gen";
import type { operations, paths } from "./openapi-typescript";

type Missing = Exclude<keyof operations, keyof typeof sdk>;
export const everyOperationIsAFunction: [Missing] extends [never] ? true : Missing = true;

const client = createClient<paths>({ baseUrl: "" });

export async function readFacts(): Promise<string | undefined> {
  const { data, error } = await client.GET("/api/v1/images", {
    params: { query: { include: ["facts"], status: ["ready"], meta: { country: "NO", "age[gte]": 18 } } },
  });
  if (error !== undefined) throw new Error(`${error.code}: ${error.detail}`);
  const [image] = data.items;
  const latitude: number | undefined = image?.facts?.location?.latitude;
  return latitude === undefined ? undefined : image?.facts?.exif?.taken_at;
}

export async function readResults(analysis_id: string): Promise<number> {
  const { data } = await sdk.getAnalysis({ path: { analysis_id } });
  const result = data?.result;
  return result && "sharpness" in result ? result.sharpness : 0;
}

export async function upload(file: Blob): Promise<string | undefined> {
  const { data, response } = await sdk.uploadImage({ body: { file, tags: "fjord" }, query: { wait: 20 } });
  return data?.id ?? response?.headers.get("Location") ?? undefined;
}

// @ts-expect-error: there is no such parameter
export const unknownParameter = () => sdk.listImages({ query: { colour: "red" } });
// @ts-expect-error: the path needs an id
export const missingId = () => sdk.getImage({ path: {} });
