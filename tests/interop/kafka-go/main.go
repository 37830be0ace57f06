// One member of a consumer group with segmentio/kafka-go: one line of JSON an event, until SIGTERM.
//
// usage: member BOOTSTRAP GROUP TOPIC PROTOCOL NAME      what the events mean is said in tests/src/interop/member.rs
package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
)

var lines sync.Mutex

func say(event string, rest map[string]any) {
	line := map[string]any{"event": event}
	for key, value := range rest {
		line[key] = value
	}
	text, _ := json.Marshal(line)
	lines.Lock()
	defer lines.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

func main() {
	bootstrap, group, topic, name := os.Args[1], os.Args[2], os.Args[3], os.Args[5]
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	client, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                group,
		Brokers:           strings.Split(bootstrap, ","),
		Dialer:            &kafka.Dialer{ClientID: name, Timeout: 10 * time.Second},
		Topics:            []string{topic},
		GroupBalancers:    []kafka.GroupBalancer{kafka.RangeGroupBalancer{}},
		SessionTimeout:    4 * time.Second,
		HeartbeatInterval: 500 * time.Millisecond,
		JoinGroupBackoff:  500 * time.Millisecond,
		StartOffset:       kafka.FirstOffset,
	})
	if err != nil {
		say("failed", map[string]any{"error": err.Error()})
		os.Exit(1)
	}
	for ctx.Err() == nil {
		generation, err := client.Next(ctx)
		if err != nil {
			// The library joins again by itself.
			if ctx.Err() == nil {
				say("retried", map[string]any{"error": err.Error()})
			}
			continue
		}
		for _, assignment := range generation.Assignments[topic] {
			generation.Start(func(ctx context.Context) { read(ctx, generation, bootstrap, topic, assignment) })
		}
	}
	client.Close()
	say("closed", nil)
}

// read reads one partition until the generation ends.
func read(ctx context.Context, generation *kafka.Generation, bootstrap, topic string, assignment kafka.PartitionAssignment) {
	partition := assignment.ID
	mine := map[string]any{"partitions": []int{partition}}
	say("assigned", mine)
	defer say("revoked", mine)
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: strings.Split(bootstrap, ","), Topic: topic, Partition: partition, MaxWait: 200 * time.Millisecond,
	})
	defer reader.Close()
	reader.SetOffset(assignment.Offset)
	for {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			if !errors.Is(err, kafka.ErrGenerationEnded) && ctx.Err() == nil {
				say("failed", map[string]any{"error": err.Error()})
			}
			return
		}
		say("record", map[string]any{"partition": partition, "offset": message.Offset})
		// Not at each record: a commit costs a round trip here.
		if message.HighWaterMark > message.Offset+1 && message.Offset%10 != 9 {
			continue
		}
		next := message.Offset + 1
		if err := generation.CommitOffsets(map[string]map[int]int64{topic: {partition: next}}); err != nil {
			// A rebalance came between: whoever owns the partition next reads these records again.
			say("retried", map[string]any{"error": err.Error()})
			continue
		}
		say("committed", map[string]any{"offsets": map[int]int64{partition: next}})
	}
}
