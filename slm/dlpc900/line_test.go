package dlpc900

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// babbler is a link to a board that answers late, twice, not at all, or nonsense. A true reply
// says which command it answers.
type babbler struct {
	random  *rand.Rand
	replies chan [ReportSize]byte
	rest    int // reports of a command that are to come
	old     [][ReportSize]byte
}

func (b *babbler) Write(_ context.Context, reports []byte) error {
	for ; len(reports) > 0; reports = reports[ReportSize:] {
		if b.rest > 0 {
			b.rest--
			continue
		}
		b.rest = (headerSize + int(binary.LittleEndian.Uint16(reports[2:])) - 1) / ReportSize
		reply := [ReportSize]byte{reports[0], reports[1], 3, 0, reports[4], reports[5], reports[1]}
		for range b.random.IntN(4) {
			var noise [ReportSize]byte
			for i := range noise {
				noise[i] = byte(b.random.Uint32())
			}
			if noise[1] != reply[1] { // else no one could tell
				b.send(noise, 0)
			}
		}
		if len(b.old) > 0 && b.random.IntN(2) == 0 {
			b.send(b.old[b.random.IntN(len(b.old))], 0)
		}
		switch b.random.IntN(8) {
		case 0: // lost
		case 1: // late: after the question was put again, or while the step is looked for
			b.send(reply, time.Duration(b.random.IntN(5000))*time.Millisecond)
		case 2: // twice
			b.send(reply, 0)
			b.send(reply, time.Millisecond)
		default:
			b.send(reply, time.Millisecond)
		}
		if b.old = append(b.old, reply); len(b.old) > 5 {
			b.old = b.old[1:]
		}
	}
	return nil
}

func (b *babbler) send(reply [ReportSize]byte, late time.Duration) {
	time.AfterFunc(late, func() { b.replies <- reply })
}

func (b *babbler) Read(ctx context.Context, report []byte) error {
	select {
	case r := <-b.replies:
		copy(report, r[:])
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *babbler) Close() error { return nil }

// Whatever comes between, a command gets its own reply or an error, in time.
func TestLateRepliesAndGarbage(t *testing.T) {
	const commands = 3000
	commandsToAsk := []command{cmdHardware, cmdMain, cmdMode, cmdPower, cmdVersions, cmdErrorCode}
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(7, 7))
		l := &line{link: &babbler{random: random, replies: make(chan [ReportSize]byte, 1<<16)}}
		answered := 0
		for k := range commands {
			c := commandsToAsk[random.IntN(len(commandsToAsk))]
			began := time.Now()
			reply, err := l.get(t.Context(), c, 3)
			if took := time.Since(began); took > 4*replyTimeout+2*nudges*nudgeTimeout {
				t.Fatalf("command %d: it took %v", k, took)
			}
			if err != nil {
				continue
			}
			answered++
			if got := command(binary.LittleEndian.Uint16(reply)); got != c || reply[2] != l.seq {
				t.Fatalf("command %d: the reply to %v is taken for that to %v", k, got, c)
			}
		}
		t.Logf("%d of %d commands were answered; %+v", answered, commands, l.stats)
		if answered < commands*9/10 || answered == commands && l.stats.Failures > 0 || l.stats.Strays == 0 || l.stats.Resyncs == 0 {
			t.Errorf("%d of %d commands were answered, %+v", answered, commands, l.stats)
		}
	})
}
