// Package genapi reads the description that a GenICam camera carries of itself, and
// turns features with standard names into reads and writes of its memory.
//
//	d, err := genapi.ParseURL("Local:camera.xml;10000;3e67") // as a register of the camera says
//	text, err := d.Read(ctx, port)                           // from its memory, unzipped
//	m, err := genapi.New(text, port)
//	err = m.SetInt(ctx, "Width", 640)
//	err = m.SetText(ctx, "PixelFormat", "Mono12")
//	us, err := m.Float(ctx, "ExposureTime")
//	err = m.Execute(ctx, "AcquisitionStart")
//
// A description is XML: a few hundred nodes that refer to each other. At the bottom are
// registers, places in the camera's memory with a length, a byte order and perhaps a range
// of bits. Above them are numbers with limits, formulas, conversions between units,
// enumerations whose entries are numbers, and commands, which are numbers that are written.
// At the top are the features that users know: what ExposureTime is, in which register it
// stands and in which unit, is said by the description and not by this package. Other nodes
// say whether a feature is implemented, available or locked at present.
//
// What a register holds is remembered until something is written: a write may change
// whatever the camera likes, so all is forgotten then, and a value that was written is read
// back. Registers that change by themselves say so (Cachable, PollingTime, pInvalidator).
//
// A description comes from a device and is not trusted: its size, the number of its nodes,
// and what one call may do are bounded, and nodes that refer to each other in a circle are
// an error of the call that finds out. A node that makes no sense spoils only the features
// that need it, since cameras with such nodes are on sale.
//
// # Sources
//
// The standard (EMVA, GenICam GenApi 2.0 and its schema 1.1) in the reading of Aravis, whose
// evaluator's precedences and functions are kept; feature names are those of the Standard
// Features Naming Convention. Left out are what no camera driver needs: selectors for user
// interfaces (pSelected), the IIDC nodes (ConfRom, TextDesc, IntKey, AdvFeatureLock) and
// chunk ports, whose nodes count as unavailable.
package genapi
