// One member of a consumer group with franz-go: one line of JSON an event, until SIGTERM.
//
// usage: member BOOTSTRAP GROUP TOPIC PROTOCOL NAME      what the events mean is said in tests/src/interop/member.rs
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
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
	bootstrap, group, topic, protocol, name := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	tell := func(event string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			if found := partitions[topic]; len(found) > 0 {
				slices.Sort(found)
				say(event, map[string]any{"partitions": found})
			}
		}
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(bootstrap, ",")...),
		kgo.ClientID(name),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(200 * time.Millisecond),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(tell("assigned")),
		kgo.OnPartitionsRevoked(tell("revoked")),
		kgo.OnPartitionsLost(tell("revoked")),
		kgo.SessionTimeout(4 * time.Second),
		kgo.HeartbeatInterval(500 * time.Millisecond),
	}
	switch protocol {
	case "consumer":
		options = append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	case "cooperative":
		options = append(options, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	case "static":
		// A static member has this long to come back.
		options = append(options, kgo.Balancers(kgo.RangeBalancer()), kgo.InstanceID(name), kgo.SessionTimeout(10*time.Second))
	default:
		options = append(options, kgo.Balancers(kgo.RangeBalancer()))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		say("failed", map[string]any{"error": err.Error()})
		os.Exit(1)
	}
	for ctx.Err() == nil {
		step(ctx, client, topic)
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
	say("closed", nil)
}

func step(ctx context.Context, client *kgo.Client, topic string) {
	// No longer than this, so that a commit that a rebalance refused is tried again.
	soon, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	fetches := client.PollRecords(soon, 50)
	fetches.EachError(func(_ string, partition int32, err error) {
		if soon.Err() == nil {
			// It tells of a group that could not be joined, and joins it again by itself.
			event := "failed"
			if errors.Is(err, io.EOF) || kgo.IsRetryableBrokerErr(err) {
				event = "disconnected"
			}
			say(event, map[string]any{"partition": partition, "error": err.Error()})
		}
	})
	for _, record := range fetches.Records() {
		say("record", map[string]any{"partition": record.Partition, "offset": record.Offset})
	}
	next := map[int32]int64{}
	for partition, at := range client.UncommittedOffsets()[topic] {
		next[partition] = at.Offset
	}
	if len(next) == 0 {
		return
	}
	// Not with ctx: what was read before SIGTERM is committed after it.
	if err := client.CommitUncommittedOffsets(context.Background()); err != nil {
		say("retried", map[string]any{"error": err.Error()})
		return
	}
	say("committed", map[string]any{"offsets": next})
}
