package sim

import (
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// FaultKind is what goes wrong with one exposure.
type FaultKind uint8

const (
	NoFault        FaultKind = iota
	DropFrame                // the camera took it, the transport lost it: a gap in Seq
	DamageFrame              // it arrives with status Damaged and half of its pixels gone
	DuplicateFrame           // it arrives twice, with the same Seq
	DelayFrame               // it, and all behind it, arrive after Fault.Delay
	LoseTrigger              // the camera saw no trigger: no frame, no count
	ExtraTrigger             // the camera saw a second trigger half a period later: one frame more
	StalePattern             // the light is that of the pattern before
	SwapPatterns             // the light of this pattern and of the next are exchanged
	StrayPattern             // the light is that of Fault.Pattern
)

var faultNames = [...]string{"no fault", "frame dropped", "frame damaged", "frame duplicated", "frame delayed",
	"trigger lost", "extra trigger", "stale pattern", "patterns swapped", "stray pattern"}

func (k FaultKind) String() string {
	if int(k) < len(faultNames) {
		return faultNames[k]
	}
	return fmt.Sprintf("FaultKind(%d)", uint8(k))
}

// Fault is what the fault hook answers for an exposure.
type Fault struct {
	Kind    FaultKind
	Delay   time.Duration // for DelayFrame
	Pattern *slm.Pattern  // for StrayPattern: one for the bench's chip
}

// Exposure names an exposure to the fault hook.
type Exposure struct {
	Index    uint64 // since the bench was built
	Run      uint64 // since the bench was built
	Position int    // in the run's order
	Of       int    // length of the run's order; 0: the camera runs free
}

// SetFaults installs the hook that decides what goes wrong; nil removes it. It is
// called once for each pattern shown, in order, before the exposure.
func (b *Bench) SetFaults(hook func(Exposure) Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = hook
}
