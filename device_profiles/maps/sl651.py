"""Hydrological stations (SL 651-2014): what the table of a profile, a report and an example have to say, in one place.

``sl651_points`` reads the table, ``sl651_reports`` decodes and encodes, ``sl651_examples`` holds examples to both.
"""

from device_profiles.maps.sl651_examples import complaints_about as complaints_about
from device_profiles.maps.sl651_points import SlMap as SlMap
from device_profiles.maps.sl651_points import SlPoint as SlPoint
from device_profiles.maps.sl651_points import check_value as check_value
from device_profiles.maps.sl651_points import read_map as read_map
from device_profiles.maps.sl651_reports import alarms_of as alarms_of
from device_profiles.maps.sl651_reports import decode_report as decode_report
from device_profiles.maps.sl651_reports import encode_report as encode_report
