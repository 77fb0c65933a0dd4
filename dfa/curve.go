package dfa

import (
	"fmt"
	"image/color"
	"io"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Curve is the picture of a run, by epoch: the loss while training above the
// accuracy, while training and on the test set, beside the control.
type Curve struct {
	Result    *Result
	Frozen    *float64 // test accuracy with frozen hidden layers, if known
	Simulated bool     // the optics were simulated, and the title says so
}

var (
	testColor   = color.RGBA{0x1b, 0x5e, 0xa8, 0xff}
	trainColor  = color.RGBA{0xe0, 0x8a, 0x1e, 0xff}
	frozenColor = color.RGBA{0x80, 0x80, 0x80, 0xff}
)

// WritePNG draws the curve, with all that tells the run from others in its title.
func (c Curve) WritePNG(w io.Writer) error {
	r := c.Result
	if r == nil {
		return fmt.Errorf("cannot draw the learning curve: there is no result: %w", ErrInput)
	}
	loss, accuracy := c.newPlot(), c.newPlot()
	source := r.Feedback
	if c.Simulated {
		source += ", simulated bench"
	}
	loss.Title.Text = fmt.Sprintf("%s: feedback %s, error %s, seed %d\nbatch %d, rate %g %s, B %s, %s",
		r.Dataset, source, r.Error, r.Seed, r.Batch, r.Rate, r.Schedule, r.EpochOfB, time.Now().Format(time.DateOnly))
	loss.Y.Label.Text, accuracy.Y.Label.Text = "loss (nats)", "accuracy (%)"
	accuracy.X.Label.Text = "epoch"
	loss.Legend.Top = true
	var losses, train, test plotter.XYs
	for _, e := range r.History {
		losses = append(losses, plotter.XY{X: float64(e.Epoch), Y: e.TrainLoss})
		train = append(train, plotter.XY{X: float64(e.Epoch), Y: 100 * e.TrainAccuracy})
		test = append(test, plotter.XY{X: float64(e.Epoch), Y: 100 * e.TestAccuracy})
	}
	for _, curve := range []struct {
		in    *plot.Plot
		name  string
		xys   plotter.XYs
		color color.Color
	}{{loss, "while training", losses, trainColor}, {accuracy, "while training", train, trainColor}, {accuracy, fmt.Sprintf("test (%.2f %% at the end)", 100*r.TestAccuracy), test, testColor}} {
		if len(curve.xys) == 0 {
			continue
		}
		line, points, err := plotter.NewLinePoints(curve.xys)
		if err != nil {
			return fmt.Errorf("cannot draw the learning curve: %w", err)
		}
		line.Color, line.Width = curve.color, vg.Points(1.5)
		points.Color, points.Shape = curve.color, draw.CircleGlyph{}
		curve.in.Add(line, points)
		curve.in.Legend.Add(curve.name, line, points)
	}
	if c.Frozen != nil {
		line, err := plotter.NewLine(plotter.XYs{{X: accuracy.X.Min, Y: 100 * *c.Frozen}, {X: accuracy.X.Max, Y: 100 * *c.Frozen}})
		if err != nil {
			return fmt.Errorf("cannot draw the learning curve: %w", err)
		}
		line.Color, line.Dashes = frozenColor, []vg.Length{vg.Points(4), vg.Points(3)}
		accuracy.Add(line)
		accuracy.Legend.Add(fmt.Sprintf("frozen hidden layers (%.2f %%)", 100**c.Frozen), line)
	}
	loss.Y.Min = 0
	accuracy.Y.Min -= 1
	accuracy.Y.Max = min(100, accuracy.Y.Max+0.5)

	canvas := vgimg.New(16*vg.Centimeter, 15*vg.Centimeter)
	// epoch under epoch
	places := plot.Align([][]*plot.Plot{{loss}, {accuracy}}, draw.Tiles{Rows: 2, Cols: 1}, draw.New(canvas))
	loss.Draw(places[0][0])
	accuracy.Draw(places[1][0])
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(w); err != nil {
		return fmt.Errorf("cannot write the learning curve: %w", err)
	}
	return nil
}

// newPlot is an empty plot over the epochs.
func (c Curve) newPlot() *plot.Plot {
	p := plot.New()
	p.X.Min, p.X.Max = 0.5, float64(max(1, len(c.Result.History)))+0.5
	p.X.Tick.Marker = epochTicks{}
	p.Add(plotter.NewGrid())
	p.Legend.Padding, p.Legend.XOffs, p.Legend.YOffs = vg.Points(3), -vg.Points(8), vg.Points(4)
	return p
}

// epochTicks marks whole epochs, at most about 20 of them.
type epochTicks struct{}

func (epochTicks) Ticks(lo, hi float64) (ticks []plot.Tick) {
	every := 1
	for hi-lo > float64(20*every) {
		every *= 10
	}
	for e := every; float64(e) <= hi; e += every {
		if float64(e) >= lo {
			ticks = append(ticks, plot.Tick{Value: float64(e), Label: fmt.Sprint(e)})
		}
	}
	return ticks
}
