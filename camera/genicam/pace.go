package genicam

import (
	"context"
	"math"
	"time"
)

// findPace asks how fast the camera can be with its shortest exposure and whole sensor, and
// leaves the exposure as it was. Cameras tell the rate that the present settings allow as the
// upper limit of AcquisitionFrameRate, or as a rate that results.
func (c *Camera) findPace(ctx context.Context) error {
	name, err := c.exposureName(ctx)
	if err != nil {
		return err
	}
	before, err := c.m.Float(ctx, name)
	if err == nil {
		err = c.m.SetFloat(ctx, name, float64(c.info.MinExposure)/1000)
	}
	if err != nil {
		return ignoring(err) // the exposure cannot be set now: nothing is learnt
	}
	rate, err := c.fastest(ctx)
	if err == nil && rate > 0 && !math.IsInf(rate, 1) {
		c.pace = time.Duration(math.Ceil(1e9 / rate))
	}
	if failure := c.m.SetFloat(ctx, name, before); failure != nil {
		return refused(failure)
	}
	return ignoring(err)
}

// fastest is the highest rate with the present settings, frames a second; 0: not told.
func (c *Camera) fastest(ctx context.Context) (float64, error) {
	for _, name := range []string{"AcquisitionResultingFrameRate", "ResultingFrameRate", "ResultingFrameRateAbs"} {
		rate, err := c.m.Float(ctx, name)
		if err == nil || !featureError(err) {
			return rate, err
		}
	}
	name, err := c.first(ctx, "AcquisitionFrameRate", "AcquisitionFrameRateAbs")
	if err != nil || name == "" {
		return 0, err
	}
	l, err := c.m.Limits(ctx, name)
	return l.Max, err
}

// MinPeriod is what camera.Paced asks for: of the whole sensor, with the shortest exposure; 0:
// the camera does not tell.
func (c *Camera) MinPeriod() time.Duration { return c.pace }
