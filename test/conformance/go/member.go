package main

import (
	"encoding/json"
	"io"
	"os"
	"sync"
	"time"
)

// memberOptions is what `--member` gives; the lines a member prints are described in ../README.md.
type memberOptions struct {
	Group            string   `json:"group"`
	Topics           []string `json:"topics"`
	Pattern          string   `json:"pattern"`
	InstanceID       string   `json:"instanceId"`
	Protocol         string   `json:"protocol"`
	SessionTimeoutMs int      `json:"sessionTimeoutMs"`
	HeartbeatMs      int      `json:"heartbeatMs"`
}

func (o *memberOptions) sessionTimeout() time.Duration {
	return time.Duration(o.SessionTimeoutMs) * time.Millisecond
}

func (o *memberOptions) heartbeat() time.Duration {
	return time.Duration(o.HeartbeatMs) * time.Millisecond
}

type memberLog struct {
	lock sync.Mutex
	out  *json.Encoder
}

func newMemberLog() *memberLog { return &memberLog{out: json.NewEncoder(os.Stdout)} }

func (l *memberLog) say(event string, fields answer) {
	l.lock.Lock()
	defer l.lock.Unlock()
	if fields == nil {
		fields = answer{}
	}
	fields["event"] = event
	fields["at"] = float64(time.Now().UnixMicro()) / 1000
	_ = l.out.Encode(fields)
}

func (l *memberLog) failed(what string, err error) {
	l.say("failed", answer{"what": what, "error": err.Error()})
}

// pairs lists topics' partitions as [topic, partition] each.
func pairs(topics map[string][]int32) [][2]any {
	out := [][2]any{}
	for topic, partitions := range topics {
		for _, partition := range partitions {
			out = append(out, [2]any{topic, partition})
		}
	}
	return out
}

// askedToLeave is closed when standard input ends.
func askedToLeave() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(done)
	}()
	return done
}
