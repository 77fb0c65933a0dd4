package gigecam

// Fate is what becomes of a packet.
type Fate uint8

const (
	Arrive Fate = iota
	Drop        // it is lost
	Double      // it arrives twice
	Late        // it arrives after the frame's trailer
)

// Packet names a packet to the fault hook.
type Packet struct {
	Run    int    // acquisitions since the camera was made, from 1 on
	Frame  uint64 // of the acquisition, from 0 on
	ID     int    // within the frame: 0 is the leader
	Of     int    // packets of the frame, leader and trailer among them
	Resent bool   // it was asked for again
}

// SetFaults installs the hook that decides what becomes of packets; nil removes it. It is
// called once for each packet that is sent, in order.
func (c *Camera) SetFaults(hook func(Packet) Fate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = hook
}

// Stats counts what the camera did. All numbers only grow.
type Stats struct {
	Commands uint64 // of control that came
	Frames   uint64 // that were sent, however they arrived
	Packets  uint64 // that arrived once and in time
	Dropped  uint64
	Doubled  uint64
	Late     uint64
	Resent   uint64 // among the others
	Expired  uint64 // masters that were not heard from
}

// Stats returns the counters.
func (c *Camera) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}
