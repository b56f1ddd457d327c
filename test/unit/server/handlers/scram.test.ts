/** What is kept of a password is what RFC 5802 derives from it; and it is told to nobody. */
import { expect, test } from "bun:test";
import { pbkdf2Sync } from "node:crypto";
import { makeAlterUserScramCredentialsRequest } from "#protocol/generated/alter-user-scram-credentials.ts";
import { makeDescribeUserScramCredentialsRequest } from "#protocol/generated/describe-user-scram-credentials.ts";
import { createAlterUserScramCredentialsHandler } from "#server/handlers/alter-user-scram-credentials.ts";
import { createDescribeUserScramCredentialsHandler } from "#server/handlers/describe-user-scram-credentials.ts";
import { contextOf, startCluster } from "../../controller/cluster-fixture.ts";

test("RFC 7677's user can be checked with what is kept", async () => {
  const { controller } = await startCluster();
  const handler = createAlterUserScramCredentialsHandler({ controller });
  // User "user", password "pencil", of the example in RFC 7677, section 3.
  const salt = Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64");
  const request = makeAlterUserScramCredentialsRequest({
    upsertions: [
      {
        name: "user",
        mechanism: 1,
        iterations: 4096,
        salt,
        saltedPassword: pbkdf2Sync("pencil", salt, 4096, 32, "sha256"),
      },
    ],
  });
  expect(await handler.handle(request, contextOf(0))).toMatchObject({
    results: [{ user: "user", errorCode: 0, errorMessage: null }],
  });
  // The request's bytes are the connection's and used again.
  salt.fill(0);
  const [credential] = controller.image.scramCredentials.values();
  expect(credential).toMatchObject({ name: "user", mechanism: 1, iterations: 4096 });
  expect(Buffer.from(credential?.salt ?? []).toString("base64")).toBe("W22ZaJ0SNY7soEsUEjb6gQ==");
  const authMessage =
    "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
  const signature = new Bun.CryptoHasher("sha256", credential?.serverKey ?? new Uint8Array(0))
    .update(authMessage)
    .digest("base64");
  expect(signature).toBe("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
  const clientSignature = new Bun.CryptoHasher("sha256", credential?.storedKey ?? new Uint8Array(0))
    .update(authMessage)
    .digest();
  const proof = Buffer.from("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "base64");
  const clientKey = proof.map((byte, index) => byte ^ (clientSignature[index] ?? 0));
  expect(new Bun.CryptoHasher("sha256").update(clientKey).digest()).toEqual(
    Buffer.from(credential?.storedKey ?? []),
  );

  const describing = createDescribeUserScramCredentialsHandler({ image: () => controller.image });
  const everybody = makeDescribeUserScramCredentialsRequest({ users: null });
  expect(await describing.handle(everybody, contextOf(0))).toEqual({
    throttleTimeMs: 0,
    errorCode: 0,
    errorMessage: "",
    results: [
      {
        user: "user",
        errorCode: 0,
        errorMessage: "",
        credentialInfos: [{ mechanism: 1, iterations: 4096 }],
      },
    ],
  });
});
