package controller

import "math/rand/v2"

// FaultKind is what goes wrong with one transfer of a report.
type FaultKind uint8

const (
	NoFault       FaultKind = iota
	Stall                   // the endpoint stalls: the transfer fails, the report is not taken
	Hang                    // the transfer never ends; a report to the board is not taken
	Lose                    // the report is lost on the way, and the host sees nothing of it
	Repeat                  // the report comes twice
	Empty                   // a reply says that it has no data
	WrongSequence           // a reply has the number of another command
	ErrorBit                // a reply says that its command failed
	Garbage                 // the report is 64 random bytes
	Pull                    // somebody pulls the plug
)

var faultNames = [...]string{"no fault", "stall", "hang", "lose", "repeat", "empty", "wrong sequence", "error bit", "garbage", "pull"}

func (k FaultKind) String() string { return faultNames[k] }

// FaultKinds lists all that can go wrong.
func FaultKinds() []FaultKind {
	kinds := make([]FaultKind, 0, len(faultNames)-1)
	for k := Stall; int(k) < len(faultNames); k++ {
		kinds = append(kinds, k)
	}
	return kinds
}

// Transfer names a transfer to the fault hook.
type Transfer struct {
	Index  int  // since the board was made
	In     bool // from the board to the host
	Report [reportSize]byte
}

// SetFaults installs the hook that decides what goes wrong; nil removes it. It is called
// for each transfer, under the board's lock, and must not call the board.
func (b *Board) SetFaults(hook func(Transfer) FaultKind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = hook
}

// spoil changes a report as the fault says. Faults of replies leave reports to the board
// as they are.
func (k FaultKind) spoil(t *Transfer) {
	switch {
	case k == Garbage:
		random := rand.New(rand.NewPCG(uint64(t.Index), 900))
		for i := range t.Report {
			t.Report[i] = byte(random.Uint32())
		}
	case !t.In:
	case k == Empty:
		t.Report[2], t.Report[3] = 0, 0
		clear(t.Report[headerSize:])
	case k == WrongSequence:
		t.Report[1]--
	case k == ErrorBit:
		t.Report[0] |= flagError
	}
}
