# SPDX-License-Identifier: Apache-2.0
"""How tests speak: expect(), and the sections of a kernel's machines by name."""


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def passed(sections, name):
    """The text of a section that ended well."""
    expect(name in sections, f"{name} did not end")
    section = sections[name]
    expect(section.status == 0, f"{name} ended with {section.status}: {section.text.strip()[-600:]}")
    return section.text
