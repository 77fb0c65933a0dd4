package v4l2

import (
	"encoding/binary"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/light-in-the-loop/opu/camera"
)

// fake is a model of the kernel and of a camera behind it, after the kernel's documentation.
// Time does not pass in it; frames come when it is triggered.
type fake struct {
	model fakeModel

	mu        sync.Mutex // guards what follows
	crop      camera.ROI
	code      uint32
	buffers   []fakeBuffer
	queued    []int // for the camera, in order
	done      []int // for the program, in order
	streaming bool
	sequence  uint32
	frame     int // of the run
	clock     time.Duration
	gone      bool
	broken    bool // the queue is in its error state
	closes    int
	empty     bool // frames keep the pixels that the buffers have
	mapped    int

	fails  map[uint32][]error        // answers to the next requests of a kind; nil: go on
	hangs  map[uint32]chan struct{}  // requests of a kind wait for this
	skip   map[int]bool              // frames of the next run that are dropped
	damage map[int]bool              // or have the error flag
	short  map[int]bool              // or are too short
	count  func(frame uint32) uint32 // what the driver says of a frame's number; nil: the number
	asked  []uint32                  // all requests, in order

	ending chan struct{} // closed when a free run ends
	signal chan struct{} // holds a token after something happened
	woken  chan struct{} // holds a token after wake
}

// fakeModel is what does not change.
type fakeModel struct {
	driver         string
	caps           uint32
	width, height  int
	origin         [2]int // of the sensor in the crop's coordinates
	cropStep       int    // sizes are rounded up to it; 0: it does not crop
	sizes          [][2]int
	codes          []uint32
	give           uint32 // the format it gives, whatever is asked for; 0: what is asked for
	padding        int    // bytes after each row
	header         int    // bytes before a frame, with planes
	controls       []*fakeControl
	buffers        int // at most
	timeOfExposure bool
	period         time.Duration // between triggers, on the clock of time stamps
	runsFree       bool          // with its trigger mode off
}

type fakeControl struct {
	id, kind uint32
	name     string
	min, max int64
	step     int64
	value    int64
	flags    uint32
	items    []string // "" is a hole
	stuck    bool     // it takes any value and keeps its own
	refuses  error
}

type fakeBuffer struct {
	bytes    []byte
	used     int
	flags    uint32
	sequence uint32
	time     time.Duration
	isQueued bool
}

// defaultModel is a good machine vision camera.
func defaultModel() fakeModel {
	return fakeModel{
		driver: "fakecam", caps: capCapture | capStreaming, width: 48, height: 32, origin: [2]int{8, 4}, cropStep: 4,
		codes:   []uint32{code("YUYV"), code("Y16 "), code("GREY"), code("Y10 "), code("Y12 ")},
		padding: 16, buffers: 8, period: time.Millisecond,
		controls: []*fakeControl{
			{id: 0x980001, kind: 6, name: "User Controls"},
			{id: cidGamma, kind: ctrlMenu, name: "Gamma", max: 1, value: 1, items: []string{"Linear", "sRGB"}},
			{id: cidAutoGain, kind: ctrlBoolean, name: "Gain, Automatic", max: 1, value: 1},
			{id: 0x980913, kind: ctrlInteger, name: "Gain", max: 480, value: 30},
			{id: 0x981000, kind: ctrlInteger, name: "Black Level", max: 255},
			{id: 0x981001, kind: ctrlMenu, name: "Trigger Mode", max: 1, items: []string{"Off", "On"}},
			{id: 0x981002, kind: ctrlBoolean, name: "LUT Enable", max: 1, value: 1},
			{id: 0x981003, kind: ctrlMenu, name: "Shutter Type", max: 2, value: 0, items: []string{"Rolling", "", "Global Reset"}},
			{id: 0x981004, kind: ctrlButton, name: "Software Trigger"},
			{id: 0x981005, kind: ctrlInteger, name: "3D Noise Reduction", max: 7, value: 4},
			{id: cidExposureAuto, kind: ctrlMenu, name: "Auto Exposure", max: 3, value: 3, items: []string{"Auto Mode", "Manual Mode", "", "Aperture Priority Mode"}},
			{id: cidExposureAbsolute, kind: ctrlInteger, name: "Exposure Time, Absolute", min: 1, max: 5000, value: 100},
		},
	}
}

func newFake(change func(*fakeModel)) *fake {
	m := defaultModel()
	if change != nil {
		change(&m)
	}
	return &fake{
		model: m, crop: camera.ROI{Width: m.width, Height: m.height}, code: m.codes[0],
		fails: map[uint32][]error{}, hangs: map[uint32]chan struct{}{},
		signal: make(chan struct{}, 1), woken: make(chan struct{}, 1),
	}
}

func (f *fake) format() pixelFormat {
	i := slices.IndexFunc(pixelFormats, func(p pixelFormat) bool { return p.code == f.code })
	if i < 0 {
		return pixelFormat{code: f.code, depth: 8, size: bytes2}
	}
	return pixelFormats[i]
}

func (f *fake) stride() int { return f.format().size(f.crop.Width) + f.model.padding }
func (f *fake) size() int   { return f.stride()*f.crop.Height + f.model.header }

// ioctl implements node.
func (f *fake) ioctl(request uint32, argument unsafe.Pointer) error {
	f.mu.Lock()
	hang := f.hangs[request]
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, request)
	if f.gone {
		return syscall.ENODEV
	}
	if script := f.fails[request]; len(script) > 0 {
		f.fails[request] = script[1:]
		if script[0] != nil {
			return script[0]
		}
	}
	switch request {
	case reqQueryCap:
		return f.queryCap((*capability)(argument))
	case reqEnumFmt:
		q := (*fmtDesc)(argument)
		if int(q.Index) >= len(f.model.codes) {
			return syscall.EINVAL
		}
		q.PixelFormat = f.model.codes[q.Index]
	case reqGetFmt, reqSetFmt:
		return f.setFormat(request == reqSetFmt, argument)
	case reqEnumFrameSizes:
		q := (*frmSizeEnum)(argument)
		if int(q.Index) >= len(f.model.sizes) {
			return syscall.EINVAL
		}
		q.Type, q.Size = sizeDiscrete, [6]uint32{uint32(f.model.sizes[q.Index][0]), uint32(f.model.sizes[q.Index][1])}
	case reqGetSelection, reqSetSelection:
		return f.selection(request == reqSetSelection, (*selection)(argument))
	case reqGetParm:
		p := (*streamParm)(argument)
		p.Numerator, p.Denominator = 1, 50
	case reqQueryExtCtrl:
		return f.queryControl((*queryExtCtrl)(argument))
	case reqQueryMenu:
		q := (*queryMenu)(argument)
		c := f.control(q.ID)
		if c == nil || int(q.Index) >= len(c.items) || c.items[q.Index] == "" {
			return syscall.EINVAL
		}
		copy(q.Name[:], c.items[q.Index])
	case reqGetExtCtrls, reqSetExtCtrls:
		return f.useControl(request == reqSetExtCtrls, (*extControls)(argument).Controls)
	case reqReqBufs:
		return f.requestBuffers((*requestBuffers)(argument))
	case reqQueryBuf, reqQBuf, reqDQBuf:
		return f.exchange(request, argument)
	case reqStreamOn:
		if f.streaming || len(f.queued) == 0 {
			return syscall.EINVAL
		}
		f.streaming, f.sequence, f.frame = true, 0, 0
		if f.model.runsFree && f.named("Trigger Mode").value == 0 {
			f.ending = make(chan struct{})
			go f.runFree(f.ending)
		}
	case reqStreamOff:
		f.streaming, f.broken = false, false
		if f.ending != nil {
			close(f.ending)
			f.ending = nil
		}
		for i := range f.buffers {
			f.buffers[i].isQueued = false
		}
		f.queued, f.done = f.queued[:0], f.done[:0]
		f.skip, f.damage, f.short = nil, nil, nil
		f.notify()
	default:
		return syscall.ENOTTY
	}
	return nil
}

func (f *fake) queryCap(c *capability) error {
	copy(c.Driver[:], f.model.driver)
	copy(c.Card[:], "Fake Camera 5000")
	copy(c.Bus[:], "platform:fake")
	c.Capabilities, c.DeviceCaps = capDeviceCaps|0xffff, f.model.caps
	return nil
}

func (f *fake) planar() bool { return f.model.caps&capCaptureMPlane != 0 }

func (f *fake) kind() uint32 {
	if f.planar() {
		return typeCaptureMPlane
	}
	return typeCapture
}

func (f *fake) setFormat(set bool, argument unsafe.Pointer) error {
	one, several := (*format)(argument), (*formatMPlane)(argument)
	if one.Type != f.kind() {
		return syscall.EINVAL
	}
	if set {
		if len(f.buffers) > 0 {
			return syscall.EBUSY
		}
		want, w, h := one.Pix.PixelFormat, int(one.Pix.Width), int(one.Pix.Height) // the first three are in the same places
		if !slices.Contains(f.model.codes, want) {
			want = f.model.codes[0]
		}
		if f.model.give != 0 {
			want = f.model.give
		}
		f.code = want
		switch {
		case f.model.cropStep > 0: // no scaler: the size is that of the crop
		case slices.Contains(f.model.sizes, [2]int{w, h}):
			f.crop.Width, f.crop.Height = w, h
		case len(f.model.sizes) > 0:
			f.crop.Width, f.crop.Height = f.model.sizes[0][0], f.model.sizes[0][1]
		}
	}
	w, h, stride, size := uint32(f.crop.Width), uint32(f.crop.Height), uint32(f.stride()), uint32(f.size())
	if f.planar() {
		several.Pix.Width, several.Pix.Height, several.Pix.PixelFormat, several.Pix.Field, several.Pix.NumPlanes = w, h, f.code, fieldNone, 1
		several.Pix.Planes[0].BytesPerLine, several.Pix.Planes[0].SizeImage = stride, size
		return nil
	}
	one.Pix = pixFormat{Width: w, Height: h, PixelFormat: f.code, Field: fieldNone, BytesPerLine: stride, SizeImage: size}
	return nil
}

func (f *fake) selection(set bool, s *selection) error {
	if f.model.cropStep == 0 {
		return syscall.ENOTTY
	}
	if s.Type != typeCapture {
		return syscall.EINVAL
	}
	left, top := int32(f.model.origin[0]), int32(f.model.origin[1])
	if s.Target == targetCropDefault {
		s.Left, s.Top, s.Width, s.Height = left, top, uint32(f.model.width), uint32(f.model.height)
		return nil
	}
	if set {
		if len(f.buffers) > 0 {
			return syscall.EBUSY
		}
		step := f.model.cropStep
		up := func(x, most int) int { return min((x+step-1)/step*step, most) }
		u, v := int(s.Left-left)/step*step, int(s.Top-top)/step*step
		w, h := up(int(s.Left-left)+int(s.Width), f.model.width)-u, up(int(s.Top-top)+int(s.Height), f.model.height)-v
		f.crop = camera.ROI{U: u, V: v, Width: w, Height: h}
	}
	s.Left, s.Top, s.Width, s.Height = left+int32(f.crop.U), top+int32(f.crop.V), uint32(f.crop.Width), uint32(f.crop.Height)
	return nil
}

func (f *fake) control(id uint32) *fakeControl {
	for _, c := range f.model.controls {
		if c.id == id {
			return c
		}
	}
	return nil
}

func (f *fake) named(name string) *fakeControl {
	for _, c := range f.model.controls {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (f *fake) queryControl(q *queryExtCtrl) error {
	after := q.ID &^ ctrlNext
	var next *fakeControl
	for _, c := range f.model.controls {
		if c.id > after && (next == nil || c.id < next.id) {
			next = c
		}
	}
	if q.ID&ctrlNext == 0 || next == nil {
		return syscall.EINVAL
	}
	*q = queryExtCtrl{ID: next.id, Type: next.kind, Minimum: next.min, Maximum: next.max, Step: uint64(max(1, next.step)), Default: next.min, Flags: next.flags, Elems: 1}
	copy(q.Name[:], next.name)
	return nil
}

func (f *fake) useControl(set bool, x *extControl) error {
	c := f.control(x.ID)
	switch {
	case c == nil:
		return syscall.EINVAL
	case !set:
		binary.LittleEndian.PutUint64(x.Value[:], uint64(c.value))
		return nil
	case c.flags&ctrlReadOnly != 0:
		return syscall.EACCES
	case c.refuses != nil:
		return c.refuses
	}
	value := int64(binary.LittleEndian.Uint64(x.Value[:]))
	if c.kind != ctrlInteger64 {
		value = int64(int32(value))
	}
	if c.kind != ctrlButton && (value < c.min || value > c.max) {
		return syscall.ERANGE
	}
	if !c.stuck {
		c.value = value
	}
	return nil
}

func (f *fake) requestBuffers(r *requestBuffers) error {
	if f.streaming {
		return syscall.EBUSY
	}
	r.Count = min(r.Count, uint32(f.model.buffers))
	f.buffers, f.queued, f.done = nil, nil, nil
	for range r.Count {
		f.buffers = append(f.buffers, fakeBuffer{bytes: make([]byte, f.size())})
	}
	return nil
}

func (f *fake) exchange(request uint32, argument unsafe.Pointer) error {
	one, several := (*buffer)(argument), (*bufferMPlane)(argument)
	head := &one.bufferHead // in the same place
	if head.Type != f.kind() || head.Memory != memoryMMap {
		return syscall.EINVAL
	}
	if f.planar() && several.Length < 1 {
		return syscall.EINVAL
	}
	index := int(head.Index)
	switch request {
	case reqQBuf:
		if index >= len(f.buffers) || f.buffers[index].isQueued {
			return syscall.EINVAL
		}
		f.buffers[index].isQueued = true
		f.queued = append(f.queued, index)
	case reqDQBuf:
		switch {
		case !f.streaming:
			return syscall.EINVAL
		case f.broken:
			return syscall.EIO
		case len(f.done) == 0:
			return syscall.EAGAIN
		}
		index = f.done[0]
		f.done = f.done[:copy(f.done, f.done[1:])]
		f.buffers[index].isQueued = false
	default:
		if index >= len(f.buffers) {
			return syscall.EINVAL
		}
	}
	b := &f.buffers[index]
	head.Index, head.Flags, head.Sequence = uint32(index), b.flags|bufClockMono, b.sequence
	head.Seconds, head.Microseconds = int64(b.time/time.Second), int64(b.time%time.Second/time.Microsecond)
	if f.model.timeOfExposure {
		head.Flags |= bufTimeOfStart
	}
	offset := uint64(index) << 16
	if f.planar() {
		several.Planes[0] = plane{BytesUsed: uint32(b.used), Length: uint32(len(b.bytes)), Offset: offset, DataOffset: uint32(f.model.header)}
		return nil
	}
	one.BytesUsed, one.Offset, one.Length = uint32(b.used), offset, uint32(len(b.bytes))
	return nil
}

// mmap implements node.
func (f *fake) mmap(offset int64, length int) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := int(offset >> 16)
	if i >= len(f.buffers) || length != len(f.buffers[i].bytes) {
		return nil, syscall.EINVAL
	}
	f.mapped++
	return f.buffers[i].bytes, nil
}

// unmap implements node.
func (f *fake) unmap(b []byte, read bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mapped--
	clear(b) // who reads it has read too late
	return nil
}

// poll implements node.
func (f *fake) poll() (trouble bool, err error) {
	for {
		f.mu.Lock()
		gone, ready, trouble := f.gone, len(f.done) > 0, f.broken || !f.streaming
		f.mu.Unlock()
		switch {
		case gone:
			return true, syscall.ENODEV
		case ready || trouble:
			return trouble, nil
		}
		select {
		case <-f.signal:
		case <-f.woken:
			return false, nil
		}
	}
}

// wake implements node.
func (f *fake) wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

// close implements node.
func (f *fake) close() error {
	f.mu.Lock()
	f.closes++
	f.mu.Unlock()
	f.wake()
	return nil
}

func (f *fake) notify() {
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

// value is what pixel (u, v) of the sensor counts in a frame.
func (f *fake) value(frame, u, v int) uint16 {
	return uint16((7*u + 13*v + 5*frame) & (1<<f.format().depth - 1))
}

// trigger takes frames. Without a stream the camera does not see it.
func (f *fake) trigger(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.clock += f.model.period
		if !f.streaming || f.broken || f.gone {
			continue
		}
		k, sequence := f.frame, f.sequence
		f.frame++
		f.sequence++
		if f.skip[k] || len(f.queued) == 0 {
			continue
		}
		if f.count != nil {
			sequence = f.count(sequence)
		}
		b := &f.buffers[f.queued[0]]
		f.done, f.queued = append(f.done, f.queued[0]), f.queued[:copy(f.queued, f.queued[1:])]
		b.flags, b.sequence, b.time, b.used = 0, sequence, f.clock, f.size()
		if f.damage[k] {
			b.flags |= bufError
		}
		if f.short[k] {
			b.used = f.model.header + f.stride()*(f.crop.Height-1)
		}
		if !f.empty {
			f.fill(b.bytes[f.model.header:], k)
		}
	}
	f.notify()
}

// runFree takes frames at the camera's own pace.
func (f *fake) runFree(ending chan struct{}) {
	for {
		select {
		case <-ending:
			return
		case <-time.After(f.model.period):
			f.trigger(1)
		}
	}
}

// fill writes the pixels of a frame.
func (f *fake) fill(to []byte, frame int) {
	row := make([]uint16, f.crop.Width)
	for v := range f.crop.Height {
		for u := range row {
			row[u] = f.value(frame, f.crop.U+u, f.crop.V+v)
		}
		pack(f.format(), to[v*f.stride():], row)
	}
}

// unplug pulls the camera out.
func (f *fake) unplug() {
	f.mu.Lock()
	f.gone = true
	f.mu.Unlock()
	f.notify()
}

// breakQueue is what a driver does that cannot go on.
func (f *fake) breakQueue() {
	f.mu.Lock()
	f.broken = true
	f.mu.Unlock()
	f.notify()
}

// device opens the fake; the test closes it and sees that nothing is left.
func (f *fake) device(t testing.TB, o Options) *Device {
	t.Helper()
	d, err := open(t.Context(), f, "/dev/video9", "", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if f.closes != 1 || f.mapped != 0 {
			t.Errorf("the node was closed %d times, and %d buffers are mapped", f.closes, f.mapped)
		}
	})
	return d
}
