package main

import (
	"fmt"
	"io"

	"github.com/light-in-the-loop/opu/internal/bench"
)

// printRates tells what the clock of a real board would allow.
func printRates(w io.Writer, r *bench.Rates) {
	fmt.Fprintf(w, "dictionary: %.1f %% of %d patterns were on the board, %d uploaded; %d runs, %d reports on the USB\n",
		100*r.HitRate, r.Patterns, r.Uploads, r.Starts, r.Reports)
	for _, at := range r.At {
		fmt.Fprintf(w, "modelled board, restart %3.0f ms: %.0f projections/s (%.0f exposures/s), limited by %s; the paper has 1500/s\n",
			at.RestartMS, at.Projections, at.Exposures, at.Limit)
	}
}
