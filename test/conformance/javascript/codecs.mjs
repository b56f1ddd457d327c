// Snappy, LZ4 and zstd for kafkajs, which brings gzip only and asks its user to plug in the rest. The block codecs come
// from @platformatic/kafka; the framing that Java's snappy adds (a 16-byte head, then length-prefixed blocks) is here.
import zlib from "node:zlib";
import { createRequire } from "node:module";
import { compressionsAlgorithms } from "@platformatic/kafka";

const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const BLOCK_BYTES = 32 * 1024;

/** Snappy in the framing that Java and librdkafka write; reads the bare form as well. */
export const snappy = {
  compress(data) {
    const parts = [XERIAL_MAGIC, Buffer.from([0, 0, 0, 1, 0, 0, 0, 1])];
    for (let at = 0; at < data.length; at += BLOCK_BYTES) {
      const block = compressionsAlgorithms.snappy.compressSync(data.subarray(at, at + BLOCK_BYTES));
      const length = Buffer.alloc(4);
      length.writeUInt32BE(block.length);
      parts.push(length, block);
    }
    return Buffer.concat(parts);
  },
  decompress(data) {
    if (!data.subarray(0, 8).equals(XERIAL_MAGIC))
      return compressionsAlgorithms.snappy.decompressSync(data);
    const parts = [];
    for (let at = 16; at + 4 <= data.length;) {
      const length = data.readUInt32BE(at);
      parts.push(
        compressionsAlgorithms.snappy.decompressSync(data.subarray(at + 4, at + 4 + length)),
      );
      at += 4 + length;
    }
    return Buffer.concat(parts);
  },
};

/** LZ4 in its frame format. */
export const lz4 = {
  compress: (data) => compressionsAlgorithms.lz4.compressSync(data),
  decompress: (data) => compressionsAlgorithms.lz4.decompressSync(data),
};

/** Zstandard from the runtime (Bun, Node 22.15 on) or from zstd-napi; null where there is neither. */
export const zstd = findZstd();

function findZstd() {
  if (typeof zlib.zstdCompressSync === "function") {
    return { compress: zlib.zstdCompressSync, decompress: zlib.zstdDecompressSync };
  }
  try {
    const { compress, decompress } = createRequire(import.meta.url)("zstd-napi");
    return { compress: (data) => compress(data), decompress: (data) => decompress(data) };
  } catch {
    return null;
  }
}
