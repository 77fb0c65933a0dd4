package dlpc900

import (
	"context"
	"time"
)

// Stats are what a device has done since it was opened.
type Stats struct {
	Line LineStats

	Runs    uint64 // started
	Shown   uint64 // patterns ordered in them
	Loaded  uint64 // patterns that Load had to send
	Hits    uint64 // patterns that were in their slots already
	Images  uint64 // sent
	Bytes   uint64 // of images, encoded
	Entries uint64 // of the LUT, written

	Encoding time.Duration // spent on images, by the host
	Sending  time.Duration // and by the link
	Restart  Durations     // Stop, reorder, Start, where nothing else was needed
}

// Durations sums up durations.
type Durations struct {
	Count          uint64
	Last, Min, Max time.Duration
	Total          time.Duration
}

func (d *Durations) add(t time.Duration) {
	if d.Count == 0 || t < d.Min {
		d.Min = t
	}
	d.Max = max(d.Max, t)
	d.Last = t
	d.Total += t
	d.Count++
}

// Mean is 0 if there were none.
func (d Durations) Mean() time.Duration {
	if d.Count == 0 {
		return 0
	}
	return d.Total / time.Duration(d.Count)
}

func (s *Stats) upload(bytes int, encoding, sending time.Duration) {
	s.Bytes += uint64(bytes)
	s.Encoding += encoding
	s.Sending += sending
}

// Stats waits for its turn, like all that looks into the device.
func (d *Device) Stats(ctx context.Context) (Stats, error) {
	_, cancel, err := d.take(ctx, "count")
	if err != nil {
		return Stats{}, err
	}
	defer cancel()
	s := d.stats
	s.Line = d.line.stats
	d.turn <- struct{}{}
	return s, nil
}

// Status asks the board how it is.
func (d *Device) Status(ctx context.Context) (Status, error) {
	const what = "read the status"
	ctx, cancel, err := d.take(ctx, what)
	if err != nil {
		return Status{}, err
	}
	defer cancel()
	s := Status{DMD: d.dmd.Name, Tag: d.tag, Versions: d.versions}
	err = d.give(what, d.status(ctx, &s))
	return s, err
}

func (d *Device) status(ctx context.Context, s *Status) (err error) {
	if err = d.reach(ctx); err != nil {
		return err
	}
	if s.Hardware, err = d.line.hardware(ctx); err != nil {
		return err
	}
	if s.System, err = d.line.byteOf(ctx, cmdSystem); err != nil {
		return err
	}
	if s.Main, err = d.line.main(ctx); err != nil {
		return err
	}
	if s.Mode, err = d.line.byteOf(ctx, cmdMode); err != nil {
		return err
	}
	s.MinExposures, err = d.line.minExposures(ctx)
	return err
}
