package v4l2

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/light-in-the-loop/opu/camera"
)

// Control is a control by its name, and a value for it. Case and punctuation of names do not
// matter: "Exposure, Auto" is "exposure_auto". Values of menus are the numbers of their items.
type Control struct {
	Name  string
	Value int64
}

// ParseControl reads NAME=VALUE.
func ParseControl(s string) (Control, error) {
	name, value, ok := strings.Cut(s, "=")
	var c Control
	if ok {
		_, err := fmt.Sscanf(strings.TrimSpace(value)+"\n", "%d\n", &c.Value)
		ok = err == nil
	}
	c.Name = strings.TrimSpace(name)
	if !ok || plain(c.Name) == "" {
		return c, fmt.Errorf("cannot use %q as a control: write NAME=NUMBER: %w", s, camera.ErrInput)
	}
	return c, nil
}

// ControlInfo describes a control of a camera.
type ControlInfo struct {
	Name                  string
	Min, Max, Step        int64
	Default, Value        int64
	Items                 []Item // of a menu
	ReadOnly, Button      bool
	id, kind              uint32
	boolean, unread, wide bool
}

// Item is one of a menu. Numbers may have holes.
type Item struct {
	Value int64
	Name  string
}

// String is the value as people read it.
func (c ControlInfo) String() string {
	if i := slices.IndexFunc(c.Items, func(i Item) bool { return i.Value == c.Value }); i >= 0 {
		return c.Items[i].Name
	}
	switch {
	case c.unread:
		return ""
	case c.boolean && c.Value == 0:
		return "off"
	case c.boolean:
		return "on"
	}
	return fmt.Sprint(c.Value)
}

// plain is a name as they are compared.
func plain(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}), " ")
}

// maxControls bounds a list that a broken driver never ends.
const maxControls = 1024

// enumerate asks for all controls that have one value each.
func enumerate(n node) ([]ControlInfo, error) {
	var all []ControlInfo
	q := queryExtCtrl{}
	for range maxControls {
		id := q.ID
		q = queryExtCtrl{ID: id | ctrlNext}
		err := call(n, reqQueryExtCtrl, &q)
		if notThere(err) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if q.ID <= id {
			return nil, fmt.Errorf("control %#x follows %#x: %w", q.ID, id, camera.ErrProtocol)
		}
		c := ControlInfo{
			Name: text(q.Name[:]), Min: q.Minimum, Max: q.Maximum, Step: max(1, int64(q.Step)), Default: q.Default,
			ReadOnly: q.Flags&ctrlReadOnly != 0, Button: q.Type == ctrlButton,
			id: q.ID, kind: q.Type,
			boolean: q.Type == ctrlBoolean, wide: q.Type == ctrlInteger64, unread: q.Type == ctrlButton || q.Flags&ctrlWriteOnly != 0,
		}
		switch q.Type {
		case ctrlInteger, ctrlBoolean, ctrlButton, ctrlInteger64, ctrlBitmask:
		case ctrlMenu, ctrlIntegerMenu:
			c.Items = items(n, &c)
		default:
			continue // classes, strings, compounds
		}
		if q.Flags&ctrlDisabled == 0 && q.Elems <= 1 {
			all = append(all, c)
		}
	}
	return all, nil
}

// items asks for those of a menu.
func items(n node, c *ControlInfo) []Item {
	var all []Item
	for i := max(0, c.Min); i <= c.Max && i < maxControls; i++ {
		q := queryMenu{ID: c.id, Index: uint32(i)}
		if call(n, reqQueryMenu, &q) != nil {
			continue // a hole
		}
		name := text(q.Name[:])
		if c.kind == ctrlIntegerMenu {
			name = fmt.Sprint(int64(binary.LittleEndian.Uint64(q.Name[:])))
		}
		all = append(all, Item{i, name})
	}
	return all
}

// read reads a control's value.
func (c *ControlInfo) read(n node) error {
	if c.unread {
		return nil
	}
	x := extControl{ID: c.id}
	err := call(n, reqGetExtCtrls, &extControls{Count: 1, Controls: &x})
	if err == nil {
		if c.Value = int64(binary.LittleEndian.Uint64(x.Value[:])); !c.wide {
			c.Value = int64(int32(c.Value))
		}
	}
	return err
}

// write writes a value and reads back what the camera made of it.
func (c *ControlInfo) write(n node, value int64) error {
	x := extControl{ID: c.id}
	if c.wide {
		binary.LittleEndian.PutUint64(x.Value[:], uint64(value))
	} else {
		binary.LittleEndian.PutUint32(x.Value[:], uint32(value))
	}
	if err := call(n, reqSetExtCtrls, &extControls{Count: 1, Controls: &x}); err != nil {
		return err
	}
	return c.read(n)
}

// find returns a control by its name, or nil.
func (d *Device) find(name string) *ControlInfo {
	want := plain(name)
	for i := range d.controls {
		if plain(d.controls[i].Name) == want {
			return &d.controls[i]
		}
	}
	return nil
}

// byID returns a control by its number, or nil.
func (d *Device) byID(id uint32) *ControlInfo {
	for i := range d.controls {
		if d.controls[i].id == id {
			return &d.controls[i]
		}
	}
	return nil
}

// named is find with an error that says what there is.
func (d *Device) named(name string) (*ControlInfo, error) {
	if c := d.find(name); c != nil {
		return c, nil
	}
	var all []string
	for _, c := range d.controls {
		all = append(all, c.Name)
	}
	return nil, fmt.Errorf("cannot find the control %q of camera %s; it has: %s: %w", name, d.path, strings.Join(all, "; "), camera.ErrInput)
}

// set sets controls in their order and sees that each took its value.
func (d *Device) set(controls []Control) error {
	for _, want := range controls {
		c, err := d.named(want.Name)
		if err != nil {
			return err
		}
		if err := d.write(c, want.Value); err != nil {
			return err
		}
		if !c.unread && c.Value != want.Value {
			return fmt.Errorf("cannot set %q of camera %s to %d: it stays at %v: %w", c.Name, d.path, want.Value, c, camera.ErrRefused)
		}
	}
	return nil
}

// write is that of a control, with an error for people.
func (d *Device) write(c *ControlInfo, value int64) error {
	if !c.Button && (value < c.Min || value > c.Max) {
		return fmt.Errorf("cannot set %q of camera %s to %d: %d to %d are possible: %w", c.Name, d.path, value, c.Min, c.Max, camera.ErrInput)
	}
	if err := c.write(d.node, value); err != nil {
		err = d.failure(fmt.Sprintf("set %q of", c.Name), err)
		if errors.Is(err, syscall.EBUSY) {
			err = fmt.Errorf("%w (not while frames are taken)", err)
		}
		return err
	}
	return nil
}

// Controls returns the camera's controls as they stand.
func (d *Device) Controls(ctx context.Context) ([]ControlInfo, error) {
	var all []ControlInfo
	err := d.do(ctx, "read the controls of", func() error {
		for i := range d.controls {
			if err := d.controls[i].read(d.node); err != nil && !notThere(err) && err != syscall.EACCES {
				return d.failure(fmt.Sprintf("read %q of", d.controls[i].Name), err)
			}
		}
		all = slices.Clone(d.controls)
		return nil
	}, nil)
	return all, err
}

// Set sets a control, gain for example, at any time, and returns what the camera made of the
// value. Arm sets again what would change the meaning of pixels, and what Options names.
func (d *Device) Set(ctx context.Context, c Control) (got int64, err error) {
	err = d.do(ctx, fmt.Sprintf("set %q of", c.Name), func() error {
		info, err := d.named(c.Name)
		if err != nil {
			return err
		}
		if err := d.write(info, c.Value); err != nil {
			return err
		}
		got = info.Value
		return nil
	}, nil)
	return got, err
}
