package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/internal/rigs"
)

func newCamera() *cobra.Command {
	c := &cobra.Command{
		Use:   "camera",
		Short: "Find cameras, look at their light, save frames, test them",
		Long: `Bring up a camera before there is a rig. Name it with --camera, as opuctl camera
list prints it, or by a rig of the configuration. A camera has one user at a time: stop
the daemon that has it first.

--camera sim[:PRESET] is the camera of a simulated bench whose mirrors show a random
pattern, half on, new with each command.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newCameraList(), newCameraInfo(), newCameraGrab(), newCameraLive(), newCameraTest())
	return c
}

func newCameraList() *cobra.Command {
	var out format
	c := &cobra.Command{
		Use:   "list",
		Short: "List the cameras that can be reached from here",
		Long: `Look for cameras in every way that this program knows, and print what --camera takes.
What cannot be looked for is said, and does not hide the rest.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			found, err := rigs.Cameras(c.Context())
			if err != nil {
				fmt.Fprintf(c.ErrOrStderr(), "note: %s\n", strings.ReplaceAll(err.Error(), "\n", "\nnote: "))
			}
			result := struct {
				Cameras []rigs.FoundCamera `json:"cameras"`
			}{append([]rigs.FoundCamera{}, found...)}
			return out.print(c.OutOrStdout(), result, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "camera\tmodel\tserial\tnote")
				for _, f := range found {
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", f.Ref, f.Model, f.Serial, f.Note)
				}
				t.Flush()
			})
		},
	}
	out.register(c)
	return c
}

// cameraFlags say which camera, and how it takes frames.
type cameraFlags struct {
	camera      string
	rig, config string
	exposure    time.Duration
	roi         string
	bits        int
	out         format
}

func (f *cameraFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.camera, "camera", "", "the `camera`, as opuctl camera list prints it")
	registerRig(c, &f.rig, &f.config)
	f.out.register(c)
}

// registerSettings registers the flags of commands that take frames.
func (f *cameraFlags) registerSettings(c *cobra.Command) {
	c.Flags().DurationVar(&f.exposure, "exposure", 0, "of each frame, such as 500us (0: as the camera has it)")
	c.Flags().StringVar(&f.roi, "roi", "", "region of the sensor, `WxH+U+V` with the left column U and the top row V (default: as the camera has it)")
	c.Flags().IntVar(&f.bits, "bits", 0, "of a pixel, 8 to 16 (0: as the camera has them)")
}

// open opens the camera and sets it up. What was asked is checked before.
func (f *cameraFlags) open(c *cobra.Command) (_ camera.Device, _ camera.Config, err error) {
	if err := f.out.check(); err != nil {
		return nil, camera.Config{}, err
	}
	want := camera.Config{Exposure: f.exposure, BitDepth: f.bits}
	if want.ROI, err = parseROI(f.roi); err != nil {
		return nil, want, err
	}
	ref := f.camera
	switch {
	case ref != "" && f.rig != "":
		return nil, want, usage("--rig and --camera both name a camera; use one")
	case f.config != "" && f.rig == "":
		return nil, want, usage("--config is for --rig, which is not there")
	case f.rig != "":
		r, err := findRig(f.rig, f.config)
		if err != nil {
			return nil, want, err
		}
		ref = r.Camera
	case ref == "":
		return nil, want, fmt.Errorf("cannot find a camera: none was named; use --camera or --rig, see opuctl camera list: %w", errNoDevice)
	}
	if simulatedRef(ref) {
		fmt.Fprintln(c.ErrOrStderr(), "note: the camera is simulated, and so are its frames")
	}
	cam, err := rigs.OpenCamera(c.Context(), ref)
	if err != nil {
		return nil, want, err
	}
	got, err := cam.Configure(c.Context(), want)
	if err != nil {
		return nil, want, errors.Join(err, cam.Close())
	}
	return cam, got, nil
}

// simulatedRef tells a reference to a part of the simulated bench.
func simulatedRef(ref string) bool { return ref == "sim" || strings.HasPrefix(ref, "sim:") }

// parseROI reads a region as camera.ROI prints it; "" is none.
func parseROI(text string) (r camera.ROI, err error) {
	if text == "" {
		return r, nil
	}
	var rest string
	n, _ := fmt.Sscanf(text+" .", "%dx%d+%d+%d %s", &r.Width, &r.Height, &r.U, &r.V, &rest)
	if n != 5 || rest != "." {
		return r, usage("--roi is WxH+U+V, such as 640x480+0+0, not %q", text)
	}
	return r, nil
}

// runFrames is what a camera is told to expect. After half of it a new run is begun: some
// cameras tell by it what the numbers of their frames mean, so it must not be any number.
const runFrames = 1 << 13

// stopTime bounds what stopping a camera may take.
const stopTime = 3 * time.Second

// stream arms a camera and hands its frames to take, bad ones included, until take has
// enough. Numbers go on from run to run. It fails if no frame comes for patience.
func stream(ctx context.Context, cam camera.Device, free bool, patience time.Duration, take func(f *camera.Frame) (enough bool, err error)) error {
	for first := uint64(0); ; {
		if err := cam.Arm(ctx, camera.Run{Frames: runFrames, Free: free}); err != nil {
			return err
		}
		next, enough, err := receive(ctx, cam, first, patience, take)
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		_, stopErr := cam.Stop(ending)
		cancel()
		if err = errors.Join(err, stopErr); enough || err != nil {
			return err
		}
		first = next
	}
}

// receive takes frames of a run, numbered from first on, until take has enough or a new run
// is due. Next is the number behind the last frame.
func receive(ctx context.Context, cam camera.Device, first uint64, patience time.Duration, take func(f *camera.Frame) (enough bool, err error)) (next uint64, enough bool, err error) {
	frames := make([]camera.Frame, max(1, cam.Info().Buffers/2))
	for next = first; next < first+runFrames/2; {
		waiting, cancel := context.WithTimeout(ctx, patience)
		n, err := cam.Wait(waiting, frames)
		cancel()
		if err != nil {
			return next, false, err
		}
		for i := range frames[:n] {
			f := frames[i]
			f.Seq += first
			next = max(next, f.Seq+1)
			if enough, err = take(&f); enough || err != nil {
				break
			}
		}
		cam.Requeue(frames[:n]...)
		if enough || err != nil {
			return next, enough, err
		}
	}
	return next, false, nil
}

// cameraReport is a camera as programs read it.
type cameraReport struct {
	Model         string          `json:"model"`
	Serial        string          `json:"serial"`
	Width         int             `json:"width"`
	Height        int             `json:"height"`
	BitDepths     []int           `json:"bit_depths"`
	MinExposureUS float64         `json:"min_exposure_us"`
	MaxExposureUS float64         `json:"max_exposure_us"`
	Buffers       int             `json:"buffers"`
	LatencyMS     float64         `json:"latency_ms"`
	Clock         bool            `json:"clock"`
	Triggers      bool            `json:"counts_triggers"`
	Now           takenReport     `json:"now"`
	Controls      []controlReport `json:"controls"` // null: the camera does not tell
}

// takenReport is how frames are taken.
type takenReport struct {
	ExposureUS float64 `json:"exposure_us"`
	ROI        string  `json:"roi"`
	BitDepth   int     `json:"bit_depth"`
}

type controlReport struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	State string `json:"state"`
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func takenOf(c camera.Config) takenReport {
	return takenReport{us(c.Exposure), c.ROI.String(), c.BitDepth}
}

func describeCamera(cam camera.Device, now camera.Config) cameraReport {
	i := cam.Info()
	r := cameraReport{
		Model: i.Model, Serial: i.Serial, Width: i.Width, Height: i.Height, BitDepths: i.BitDepths,
		MinExposureUS: us(i.MinExposure), MaxExposureUS: us(i.MaxExposure), Buffers: i.Buffers, LatencyMS: us(i.Latency) / 1e3,
		Clock: i.HasTime, Triggers: i.CountsTriggers, Now: takenOf(now),
	}
	if inspector, ok := cam.(camera.Inspector); ok {
		r.Controls = []controlReport{}
		for _, s := range inspector.Settings() {
			r.Controls = append(r.Controls, controlReport{s.Name, s.Value, s.State.String()})
		}
	}
	return r
}

func (r cameraReport) print(w io.Writer) {
	yes := map[bool]string{true: "yes", false: "no"}
	fmt.Fprintf(w, "camera      %s, serial %s\n", r.Model, r.Serial)
	fmt.Fprintf(w, "sensor      %d x %d pixels, %s bits\n", r.Width, r.Height, strings.Trim(fmt.Sprint(r.BitDepths), "[]"))
	fmt.Fprintf(w, "exposure    %.6g to %.6g us\n", r.MinExposureUS, r.MaxExposureUS)
	fmt.Fprintf(w, "transport   %d buffers; a frame is there %.3g ms after its exposure, or lost\n", r.Buffers, r.LatencyMS)
	fmt.Fprintf(w, "proof       a clock in its frames: %s; counts triggers: %s\n", yes[r.Clock], yes[r.Triggers])
	fmt.Fprintf(w, "now         exposure %.6g us, region %s, %d bits\n", r.Now.ExposureUS, r.Now.ROI, r.Now.BitDepth)
	if r.Controls == nil {
		fmt.Fprintln(w, "controls    not told; see that gain, gamma and automatics are off")
	}
	for _, s := range r.Controls {
		fmt.Fprintf(w, "control     %-8s %s %s\n", s.State, s.Name, s.Value)
	}
}

func newCameraInfo() *cobra.Command {
	var f cameraFlags
	c := &cobra.Command{
		Use:   "info",
		Short: "Describe a camera: limits, settings, controls",
		Long: `Print what a camera says of itself, how it takes frames now, and in which state the
controls are that change what a count means: safe, absent (the camera does not offer it)
or stuck (it stays as it should not; pixels may not be linear). Nothing is exposed.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cam, now, err := f.open(c)
			if err != nil {
				return err
			}
			defer cam.Close()
			r := describeCamera(cam, now)
			return f.out.print(c.OutOrStdout(), r, r.print)
		},
	}
	f.register(c)
	return c
}
