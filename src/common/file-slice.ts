/** A contiguous run of bytes inside a segment file, as the native log names it; never the bytes themselves. */
export interface FileSlice {
  readonly positionBytes: number;
  readonly lengthBytes: number;
}
