//go:build amd64 || arm64

package v4l2

import (
	"testing"
	"unsafe"
)

// Sizes and offsets as a C compiler gives them for linux/videodev2.h of Linux 6.1, the same on
// both architectures.
func TestLayout(t *testing.T) {
	for _, c := range []struct {
		what      string
		got, want uintptr
	}{
		{"v4l2_capability", unsafe.Sizeof(capability{}), 104},
		{"v4l2_capability.device_caps", unsafe.Offsetof(capability{}.DeviceCaps), 88},
		{"v4l2_fmtdesc", unsafe.Sizeof(fmtDesc{}), 64},
		{"v4l2_fmtdesc.pixelformat", unsafe.Offsetof(fmtDesc{}.PixelFormat), 44},
		{"v4l2_frmsizeenum", unsafe.Sizeof(frmSizeEnum{}), 44},
		{"v4l2_frmsizeenum.discrete", unsafe.Offsetof(frmSizeEnum{}.Size), 12},
		{"v4l2_format", unsafe.Sizeof(format{}), 208},
		{"v4l2_format.pix", unsafe.Offsetof(format{}.Pix), 8},
		{"v4l2_pix_format", unsafe.Sizeof(pixFormat{}), 48},
		{"v4l2_pix_format.sizeimage", unsafe.Offsetof(pixFormat{}.SizeImage), 20},
		{"v4l2_format with planes", unsafe.Sizeof(formatMPlane{}), 208},
		{"v4l2_format.pix_mp", unsafe.Offsetof(formatMPlane{}.Pix), 8},
		{"v4l2_pix_format_mplane", unsafe.Sizeof(pixFormatMPlane{}), 192},
		{"v4l2_pix_format_mplane.plane_fmt", unsafe.Offsetof(pixFormatMPlane{}.Planes), 20},
		{"v4l2_pix_format_mplane.num_planes", unsafe.Offsetof(pixFormatMPlane{}.NumPlanes), 180},
		{"v4l2_plane_pix_format", unsafe.Sizeof(planeFormat{}), 20},
		{"v4l2_plane_pix_format.bytesperline", unsafe.Offsetof(planeFormat{}.BytesPerLine), 4},
		{"v4l2_requestbuffers", unsafe.Sizeof(requestBuffers{}), 20},
		{"v4l2_buffer", unsafe.Sizeof(buffer{}), 88},
		{"v4l2_buffer.timestamp", unsafe.Offsetof(bufferHead{}.Seconds), 24},
		{"v4l2_buffer.sequence", unsafe.Offsetof(bufferHead{}.Sequence), 56},
		{"v4l2_buffer.memory", unsafe.Offsetof(bufferHead{}.Memory), 60},
		{"v4l2_buffer.m", unsafe.Offsetof(buffer{}.Offset), 64},
		{"v4l2_buffer.length", unsafe.Offsetof(buffer{}.Length), 72},
		{"v4l2_buffer.request_fd", unsafe.Offsetof(buffer{}.Request), 80},
		{"v4l2_buffer with planes", unsafe.Sizeof(bufferMPlane{}), 88},
		{"v4l2_buffer.m.planes", unsafe.Offsetof(bufferMPlane{}.Planes), 64},
		{"v4l2_buffer.length with planes", unsafe.Offsetof(bufferMPlane{}.Length), 72},
		{"v4l2_plane", unsafe.Sizeof(plane{}), 64},
		{"v4l2_plane.m", unsafe.Offsetof(plane{}.Offset), 8},
		{"v4l2_plane.data_offset", unsafe.Offsetof(plane{}.DataOffset), 16},
		{"v4l2_selection", unsafe.Sizeof(selection{}), 64},
		{"v4l2_selection.r", unsafe.Offsetof(selection{}.Left), 12},
		{"v4l2_streamparm", unsafe.Sizeof(streamParm{}), 204},
		{"v4l2_streamparm.timeperframe", unsafe.Offsetof(streamParm{}.Numerator), 12},
		{"v4l2_query_ext_ctrl", unsafe.Sizeof(queryExtCtrl{}), 232},
		{"v4l2_query_ext_ctrl.minimum", unsafe.Offsetof(queryExtCtrl{}.Minimum), 40},
		{"v4l2_query_ext_ctrl.flags", unsafe.Offsetof(queryExtCtrl{}.Flags), 72},
		{"v4l2_query_ext_ctrl.elems", unsafe.Offsetof(queryExtCtrl{}.Elems), 80},
		{"v4l2_querymenu", unsafe.Sizeof(queryMenu{}), 44},
		{"v4l2_ext_control", unsafe.Sizeof(extControl{}), 20},
		{"v4l2_ext_control.value", unsafe.Offsetof(extControl{}.Value), 12},
		{"v4l2_ext_controls", unsafe.Sizeof(extControls{}), 32},
		{"v4l2_ext_controls.controls", unsafe.Offsetof(extControls{}.Controls), 24},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.what, c.got, c.want)
		}
	}
}

// The kernel's macro _IOC: two bits of direction, 14 of size, 8 of type, 8 of number.
func TestRequests(t *testing.T) {
	const write, read = 1, 2
	for _, c := range []struct {
		request   uint32
		direction uint32
		number    uint32
		size      uintptr
	}{
		{reqQueryCap, read, 0, unsafe.Sizeof(capability{})},
		{reqEnumFmt, read | write, 2, unsafe.Sizeof(fmtDesc{})},
		{reqGetFmt, read | write, 4, unsafe.Sizeof(format{})},
		{reqSetFmt, read | write, 5, unsafe.Sizeof(format{})},
		{reqReqBufs, read | write, 8, unsafe.Sizeof(requestBuffers{})},
		{reqQueryBuf, read | write, 9, unsafe.Sizeof(buffer{})},
		{reqQBuf, read | write, 15, unsafe.Sizeof(buffer{})},
		{reqDQBuf, read | write, 17, unsafe.Sizeof(buffer{})},
		{reqStreamOn, write, 18, 4},
		{reqStreamOff, write, 19, 4},
		{reqGetParm, read | write, 21, unsafe.Sizeof(streamParm{})},
		{reqQueryMenu, read | write, 37, unsafe.Sizeof(queryMenu{})},
		{reqGetExtCtrls, read | write, 71, unsafe.Sizeof(extControls{})},
		{reqSetExtCtrls, read | write, 72, unsafe.Sizeof(extControls{})},
		{reqEnumFrameSizes, read | write, 74, unsafe.Sizeof(frmSizeEnum{})},
		{reqGetSelection, read | write, 94, unsafe.Sizeof(selection{})},
		{reqSetSelection, read | write, 95, unsafe.Sizeof(selection{})},
		{reqQueryExtCtrl, read | write, 103, unsafe.Sizeof(queryExtCtrl{})},
	} {
		if want := c.direction<<30 | uint32(c.size)<<16 | 'V'<<8 | c.number; c.request != want {
			t.Errorf("request %d is %#x, want %#x", c.number, c.request, want)
		}
	}
}
