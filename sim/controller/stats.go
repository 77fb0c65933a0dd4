package controller

import "time"

// Stats count what a board did, in numbers that do not depend on how fast its link and
// its restarts are: how long the same work takes on another board follows from them.
type Stats struct {
	Reports      uint64        // of complete commands, and their replies
	ImageReports uint64        // those of them that carry images
	TableReports uint64        // those of them that write or configure the table
	Starts       uint64        // of sequences
	Exposures    uint64        // black ones included
	Showing      time.Duration // exposures and the dark times after them
}

// Since is what was done after an earlier count.
func (s Stats) Since(before Stats) Stats {
	return Stats{
		s.Reports - before.Reports, s.ImageReports - before.ImageReports, s.TableReports - before.TableReports,
		s.Starts - before.Starts, s.Exposures - before.Exposures, s.Showing - before.Showing,
	}
}

// Takes is how long the same takes a board whose reports and restarts take so long, if
// nothing overlaps.
func (s Stats) Takes(report, restart time.Duration) time.Duration {
	return s.Showing + time.Duration(s.Reports)*report + time.Duration(s.Starts)*restart
}

// Stats counts since New.
func (b *Board) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stats
}

// count counts the reports of a command and of its reply.
func (b *Board) count(c command) {
	n := uint64((headerSize+commandSize+len(c.data)+reportSize-1)/reportSize + len(b.pending))
	b.stats.Reports += n
	switch c.code {
	case 0x1A2A, 0x1A2B, 0x1A2C, 0x1A2D:
		b.stats.ImageReports += n
	case codeDefinition, codeLUTConfig:
		b.stats.TableReports += n
	}
}
