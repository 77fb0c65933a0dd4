// Package video tests the V4L2 driver in the virtual lab, on the kernel's own virtual cameras: the
// driver vivid, whose controls drop frames, damage them and pull the plug.
package video
