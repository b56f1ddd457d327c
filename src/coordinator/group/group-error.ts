/**
 * A refusal while an operation is decided. Thrown, since it may surface deep inside a decision that has already produced records;
 * whoever runs the operation takes those back and answers with the code and Kafka's sentence.
 */
export class GroupError extends Error {
  override readonly name = "GroupError";
  /** Kafka's error code. */
  readonly errorCode: number;

  constructor(errorCode: number, message: string) {
    super(message);
    this.errorCode = errorCode;
  }
}
