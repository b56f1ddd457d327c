// One program for the three Go clients (`--client franz-go|sarama|kafka-go`): a single build, which takes longer than
// anything the program does. It answers one JSON command a line on standard input with one JSON answer a line on
// standard output, as ../README.md describes.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// record is one record as it crosses the command protocol; offset and partition are what the broker gave.
type record struct {
	Partition *int32       `json:"partition"`
	Offset    int64        `json:"offset"`
	Timestamp int64        `json:"timestamp"`
	Key       *string      `json:"key"`
	Value     *string      `json:"value"`
	Headers   [][2]*string `json:"headers"`
}

// command carries the fields of every operation; each uses its own.
type command struct {
	ID         int               `json:"id"`
	Op         string            `json:"op"`
	Topic      string            `json:"topic"`
	Group      string            `json:"group"`
	Partitions json.RawMessage   `json:"partitions"`
	Configs    map[string]string `json:"configs"`
	Codec      string            `json:"codec"`
	Idempotent bool              `json:"idempotent"`
	Records    []record          `json:"records"`
	Count      int               `json:"count"`
	Timeout    int               `json:"timeoutMs"`
	Commit     *bool             `json:"commit"`
	Timestamp  int64             `json:"timestamp"`
}

type answer = map[string]any
type operation = func(context.Context, *command) (answer, error)

var errUnsupported = errors.New("unsupported")

func main() {
	client := flag.String("client", "franz-go", "franz-go, sarama or kafka-go")
	bootstrap := flag.String("bootstrap", "127.0.0.1:9092", "host:port,...")
	member := flag.String("member", "", "run as a group member with these options (JSON)")
	flag.Parse()
	brokers := strings.Split(*bootstrap, ",")
	if *member != "" {
		runMember(*client, brokers, *member)
		return
	}
	operations := map[string]func([]string) map[string]operation{
		"franz-go": franzOperations, "sarama": saramaOperations, "kafka-go": kafkaGoOperations,
	}[*client](brokers)

	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<28)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		if strings.TrimSpace(in.Text()) == "" {
			continue
		}
		var asked command
		if err := json.Unmarshal(in.Bytes(), &asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		given := run(operations[asked.Op], &asked)
		given["id"] = asked.ID
		_ = out.Encode(given)
	}
}

func runMember(client string, brokers []string, text string) {
	var options memberOptions
	err := json.Unmarshal([]byte(text), &options)
	if err == nil {
		err = map[string]func([]string, *memberOptions) error{
			"franz-go": franzMember, "sarama": saramaMemberMain,
		}[client](brokers, &options)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(work operation, asked *command) (given answer) {
	defer func() {
		if cause := recover(); cause != nil {
			given = answer{"ok": false, "error": fmt.Sprint("panic: ", cause)}
		}
	}()
	if work == nil {
		return answer{"ok": false, "unsupported": "no operation " + asked.Op}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	given, err := work(ctx, asked)
	if err != nil {
		return answer{"ok": false, "error": err.Error()}
	}
	if given == nil {
		given = answer{}
	}
	given["ok"] = true
	return given
}

func describe(client, version, partitioner string, limits ...string) operation {
	return func(context.Context, *command) (answer, error) {
		if limits == nil {
			limits = []string{}
		}
		return answer{
			"client": client, "version": version, "runtime": runtime.Version(), "partitioner": partitioner,
			"codecs": []string{"none", "gzip", "snappy", "lz4", "zstd"}, "limits": limits,
		}, nil
	}
}

// partitionCount reads `partitions` of a create command.
func (c *command) partitionCount() int32 {
	var count int32
	_ = json.Unmarshal(c.Partitions, &count)
	return count
}

// partitionList reads `partitions` of every other command.
func (c *command) partitionList() []int32 {
	var list []int32
	_ = json.Unmarshal(c.Partitions, &list)
	return list
}

func (c *command) commits() bool { return c.Commit == nil || *c.Commit }

func (c *command) timeout() time.Duration {
	if c.Timeout == 0 {
		return 30 * time.Second
	}
	return time.Duration(c.Timeout) * time.Millisecond
}

func data(text *string) []byte {
	if text == nil {
		return nil
	}
	out, err := base64.StdEncoding.DecodeString(*text)
	if err != nil {
		panic(err)
	}
	return out
}

func text(bytes []byte) *string {
	if bytes == nil {
		return nil
	}
	out := base64.StdEncoding.EncodeToString(bytes)
	return &out
}

// nextOffsets gives, per partition, the offset that follows the last of these records.
func nextOffsets(records []record) map[int32]int64 {
	next := map[int32]int64{}
	for _, one := range records {
		next[*one.Partition] = one.Offset + 1
	}
	return next
}

func tooFew(got, want int, after time.Duration) error {
	return fmt.Errorf("%d of %d records after %s", got, want, after)
}
