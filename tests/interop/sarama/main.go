// One member of a consumer group with sarama: one line of JSON an event, until SIGTERM.
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
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/IBM/sarama"
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

// member reads one partition in each ConsumeClaim: its beginning is the assignment and its end the revocation.
type member struct{}

func (member) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	mine := map[string]any{"partitions": []int32{claim.Partition()}}
	say("assigned", mine)
	defer say("revoked", mine)
	// Again and again: a rebalance may refuse a commit for a while.
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			say("record", map[string]any{"partition": message.Partition, "offset": message.Offset})
			session.MarkMessage(message, "")
		case <-again.C:
			// It tells nobody whether it went well, so there is no `committed` line: the broker is asked instead.
			session.Commit()
		case <-session.Context().Done():
			return nil
		}
	}
}

// event tells a connection that a broker closed, or could not take, from everything else.
func event(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return "disconnected"
	}
	return "failed"
}

func main() {
	bootstrap, group, topic, protocol, name := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	config := sarama.NewConfig()
	config.ClientID = name
	config.Version = sarama.V4_3_0_0
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.MaxWaitTime = 200 * time.Millisecond
	config.Consumer.Group.Session.Timeout = 4 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	strategy := sarama.NewBalanceStrategyRange()
	if protocol == "cooperative" {
		strategy = sarama.NewBalanceStrategyCooperativeSticky()
	}
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	if protocol == "static" {
		config.Consumer.Group.InstanceId = name
		// A static member has this long to come back.
		config.Consumer.Group.Session.Timeout = 10 * time.Second
	}
	client, err := sarama.NewConsumerGroup(strings.Split(bootstrap, ","), group, config)
	if err != nil {
		say("failed", map[string]any{"error": err.Error()})
		os.Exit(1)
	}
	for ctx.Err() == nil {
		// It returns at each rebalance, and is called again to take part in the next generation.
		if err := client.Consume(ctx, []string{topic}, member{}); err != nil {
			say(event(err), map[string]any{"error": err.Error()})
			// An application waits before it calls again.
			time.Sleep(100 * time.Millisecond)
		}
	}
	if err := client.Close(); err != nil {
		say("failed", map[string]any{"error": err.Error()})
	}
	say("closed", nil)
}
