// Package dlpc900 drives DMDs behind a DLPC900 controller of Texas Instruments
// (LightCrafter 6500 and 9000, DLP670S, DLP500YX) over USB HID.
//
// A board takes commands of up to 512 bytes in reports of 64 (message.go). Patterns
// live in its memory as images: an image is 24 one-bit planes, sent compressed
// (image.go, rle.go, upload.go). A table on the board, the pattern LUT, has an entry
// for each plane with its exposure; a run is an order of entries (lut.go). Device puts
// these together: slots are planes somewhere, a new pattern costs the image it lands
// in, and a run costs Stop, one reorder command, Start:
//
//	link, err := dlpc900.OpenHIDRaw("/dev/hidraw3") // or any Link; OpenPort does both
//	dev, err := dlpc900.Open(ctx, link, dlpc900.Options{Port: "usb-1-2"})
//	defer dev.Close() // parks the mirrors
//	err = dev.Load(ctx, []int{0, 1}, []*slm.Pattern{plus, minus})
//	err = dev.Play(ctx, slm.Run{Order: []int{0, 1, 0}, Period: 667 * time.Microsecond})
//	shown, err := dev.Wait(ctx)
//
// The link is slow: USB 1.1, one report in a millisecond, 63 kB/s. That is why patterns
// stay resident and runs are orders.
//
// # Sources
//
// The protocol is written from these documents, and from what labs report of their
// boards where they contradict each other. Comments name them.
//
//	DLPU018F  DLPC900 Programmer's Guide, December 2020 (firmware 6)
//	DLPU018J  the same, June 2024
//	DLPS037F  DLPC900 data sheet, 2021; DLPS037H, June 2024
//	DLPT028   technical advisory on mirrors that stay stuck, September 2019
//
// Facts that no document says are marked "field report".
package dlpc900
